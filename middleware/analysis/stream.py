"""Facts about the stream of requests: how it comes, what repeats in it, what is to come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..records import Vector

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as the stream's analyzers see it. Told once, after the lookup.

    Attributes:
        now_s: monotonic time of its arrival.
        tenant, model: as in `Request`.
        scope, exact: `Key.scope` and `Key.exact`, "" where it has no key: it shares with nobody.
        comparable: `Key.comparable`; only requests of equal scope and comparable may be compared by vector.
        text: the question as canonical text, for acceptance; never shown.
        vector: the question's unit vector where the lookup had it made.
        hit: it was answered by the cache.
        template, prefix: `Fingerprint.template` and `.prefix`.
        input_tokens, output_tokens: of the prompt, and predicted of the answer.
    """

    now_s: float
    tenant: str = "default"
    model: str = ""
    scope: str = ""
    exact: str = ""
    comparable: str = ""
    text: str = ""
    vector: Vector | None = None
    hit: bool = False
    template: str = ""
    prefix: tuple[int, ...] = ()
    input_tokens: int = 0
    output_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many requests will come.

    Attributes:
        horizon_s: within so many seconds from now.
        rate: requests a second over that time; `low` and `high` hold 80% of what comes true.
        method: the member of the bank that was best of late.

    Raises:
        ValueError: not finite, or not 0 <= low <= rate <= high.
    """

    horizon_s: float
    rate: float
    low: float
    high: float
    method: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.rate <= self.high and math.isfinite(self.high)):
            raise ValueError("forecast: not 0 <= low <= rate <= high")


@dataclass(frozen=True, slots=True)
class Savings:
    """What need not be computed of a window of requests.

    Attributes:
        requests: that an equal or an accepted similar one before them answers.
        tokens: prompt and output tokens of those.
        same, similar: the two kinds of requests, together `requests`.
    """

    requests: float = 0.0
    tokens: float = 0.0
    same: float = 0.0
    similar: float = 0.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a window of the stream looks like. Shares are in [0, 1]; percentiles are (10, 50, 90).

    Attributes:
        window_s, requests, rate: its length, the requests in it, and requests a second.
        interarrival_cv: standard deviation of the time between two requests over its mean: 1 for a Poisson process.
        burst: index of dispersion (variance over mean of the counts) in bins of 1, 10 and 60 s; bins that are too few are left out.
        same_share, similar_share: requests with an equal, or a nearly equal, one before them in the window.
        tenants, templates: share of each of the most frequent ones.
        input_tokens, output_tokens: percentiles.
        prefix_share: prompt blocks that an earlier prompt of the window began with.
        savings: expected of answering this window as a batch.
    """

    window_s: float
    requests: int
    rate: float
    interarrival_cv: float | None = None
    burst: Mapping[int, float] = field(default_factory=_nothing)
    same_share: float = 0.0
    similar_share: float = 0.0
    tenants: Mapping[str, float] = field(default_factory=_nothing)
    templates: Mapping[str, float] = field(default_factory=_nothing)
    input_tokens: tuple[float, float, float] = (0.0, 0.0, 0.0)
    output_tokens: tuple[float, float, float] = (0.0, 0.0, 0.0)
    prefix_share: float = 0.0
    savings: Savings = Savings()


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What is known about the stream now; absent where no analyzer says it.

    Attributes:
        forecasts: for all requests, by horizon in seconds.
        tenants: the same for each of the busiest tenants.
    """

    pattern: Pattern | None = None
    forecasts: Mapping[float, Forecast] = field(default_factory=_nothing)
    tenants: Mapping[str, Mapping[float, Forecast]] = field(default_factory=_nothing)
