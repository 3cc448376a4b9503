"""Strategies: named ways to treat requests, what one is chosen from, and the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..admission.tickets import Load
    from ..records import Request
    from .facts import RequestFacts
    from .stream import StreamFacts


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to treat requests.

    Attributes:
        strictness: least confidence of a semantic hit, in [0, 1], on top of what the acceptance policy demands.
        audits: the share of semantic decisions that are audited is multiplied by this.

    Raises:
        ValueError: a number is out of its range.
    """

    name: str
    strictness: float = 0.0
    audits: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.strictness <= 1 and 0 <= self.audits < math.inf):
            raise ValueError(f"strategy {self.name!r}: strictness is in [0, 1], audits is at least 0")


@dataclass(frozen=True, slots=True)
class Situation:
    """What a strategy is chosen from.

    Attributes:
        facts: of the request; those that predictors find are not known yet.
        stream: of the stream, None where nothing analyzes it.
        load: inside and in front of the engines.
        places: how many requests the limit lets in, None where it is not such a number.
        goodput: share of the last requests that met their latency objective, None before enough have ended.
    """

    request: Request
    facts: RequestFacts
    load: Load
    stream: StreamFacts | None = None
    places: int | None = None
    goodput: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy for one request, and a bounded label that says why."""

    strategy: Strategy
    reason: str
