"""Records of how long answers may be served, and of what became of them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an answer may be served.

    Attributes:
        fresh_s: seconds in which it counts as fresh; 0 keeps nothing.
        grace_s: seconds after that in which it may be served stale while it is computed anew.
        error_grace_s: the same where computing it anew fails.

    Raises:
        ValueError: one is negative or not finite.
    """

    fresh_s: float
    grace_s: float = 0.0
    error_grace_s: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.fresh_s, self.grace_s, self.error_grace_s):
            if not 0 <= value < math.inf:
                raise ValueError("lifetime: not finite, or negative")


@dataclass(frozen=True, slots=True)
class Revision:
    """What became of a kept answer when it was computed anew.

    Attributes:
        kind: how soon such answers go stale, as the classifier said (`Volatility`), "" where it said nothing.
        age_s: how old the kept answer was.
        changed: whether the new answer says something else.
    """

    kind: str
    age_s: float
    changed: bool
