"""The same lifetime for every answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.records import Answer, Request, RequestFacts

DAY_S: Final = 86_400.0


class FixedExpiry:
    """Keep each answer for a fixed time, or for as long as the caller asked, whichever is shorter.

    Args:
        ttl_s: lifetime in seconds; 0 keeps nothing.

    Raises:
        ValueError: `ttl_s` is negative or not finite.
    """

    def __init__(self, *, ttl_s: float = DAY_S) -> None:
        if not (ttl_s >= 0 and math.isfinite(ttl_s)):
            raise ValueError("ttl_s must be a finite number of seconds, at least 0")
        self._ttl_s = ttl_s

    def lifetime_s(self, request: Request, facts: RequestFacts, answer: Answer) -> float:  # noqa: ARG002 - the protocol's
        """Return the lifetime in seconds, at least 0."""
        asked = request.controls.ttl_s
        # "not >= 0" takes a NaN for 0, too: what the caller meant is unknown, so nothing is kept
        if asked is None:
            return self._ttl_s
        return min(asked, self._ttl_s) if asked >= 0 else 0.0
