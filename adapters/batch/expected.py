"""What a batch is expected to save, reckoned before the first line is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from ...middleware import registry as kinds
from ...middleware.analysis.learning import Memory
from ...middleware.analysis.stream import Arrival, Savings
from ...middleware.errors import ForebayError
from ...middleware.protocols import Acceptance
from ...middleware.registry import Build
from ...middleware.survey import Survey

if TYPE_CHECKING:
    from ...middleware.records import Request
    from ...middleware.runtime import Runtime
    from .reading import Checked

LENGTHS: Final = ("fingerprint", "length")
"""The predictors that say how long answers are."""

Reckon: TypeAlias = Callable[[Acceptance, Sequence[Arrival]], Savings]
"""What need not be computed of these arrivals, under an acceptance policy."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a batch; counts are of the whole file, scaled up from the sample where that is smaller.

    Attributes:
        sampled: lines that were looked at closely.
        kept: that are answered already.
        same, similar: that an earlier line of the file answers.
        tokens: prompt and output tokens of all of these.
        computed_tokens: of the rest.
    """

    sampled: int
    kept: float = 0.0
    same: float = 0.0
    similar: float = 0.0
    tokens: float = 0.0
    computed_tokens: float = 0.0

    @property
    def saved(self) -> float:
        """Lines that need not be computed."""
        return self.kept + self.same + self.similar


async def expect(runtime: Runtime, checked: Checked, reckon: Reckon) -> Expected:
    """Return what is expected.

    Of a longer file than the sample, equal lines are known for the whole of it and similar ones are taken to be as many
    among the rest; more lines find more like them, so that is rather too low.

    Raises:
        ForebayError: no vectors could be made.
    """
    config = runtime.config
    build = Build(runtime.state_dir, runtime.keyring, runtime.telemetry, serves=False)
    make = runtime.plugins.registry.build
    named = {spec.type: spec for spec in config.predictors if spec.type in LENGTHS}
    predictors = {
        f"predictors.{name}": make(kinds.PREDICTOR, name, spec.settings, build) for name, spec in named.items()
    }
    Memory(predictors, runtime.state).restore()
    survey = Survey(
        make(kinds.ANALYZER, config.analyzer.type, config.analyzer.settings, build),
        runtime.pipeline.key_of,
        lambda arrivals: reckon(runtime.acceptance, arrivals),
        runtime.embedder,
        tuple(predictors.values()),
    )
    arrivals = await _looked_up(runtime, checked.sample, await survey.arrivals(checked.sample))
    return _scaled(checked, arrivals, survey.savings(arrivals))


async def _looked_up(runtime: Runtime, requests: Sequence[Request], arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return the arrivals, those marked as hits that are kept already."""
    known: dict[str, bool] = {}
    found: list[Arrival] = []
    for request, arrival in zip(requests, arrivals, strict=True):
        if arrival.exact and arrival.exact not in known:
            try:
                key = runtime.pipeline.key_of(request)
                entry = await runtime.keeper.get(key) if await runtime.keeper.knows(key) else None
                known[arrival.exact] = entry is not None
            except (ForebayError, TimeoutError):  # the store is down: nothing is known to be kept
                known[arrival.exact] = False
        found.append(replace(arrival, hit=known.get(arrival.exact, False)))
    return found


def _scaled(checked: Checked, arrivals: Sequence[Arrival], savings: Savings) -> Expected:
    sampled = len(arrivals)
    if not sampled:
        return Expected(0)
    hits = [arrival for arrival in arrivals if arrival.hit]
    tokens = [arrival.input_tokens + arrival.output_tokens for arrival in arrivals]
    kept_tokens = sum(arrival.input_tokens + arrival.output_tokens for arrival in hits)
    scale = checked.good / sampled
    if scale == 1:
        saved = savings.tokens + kept_tokens
        return Expected(sampled, len(hits), savings.same, savings.similar, saved, max(0.0, sum(tokens) - saved))
    kept = len(hits) * scale
    shareable = sum(bool(arrival.exact) for arrival in arrivals) / sampled
    same = min(checked.repeats * shareable, checked.good - kept)
    left = max(0.0, checked.good - kept - same)
    similar = left * savings.similar / max(1.0, sampled - len(hits) - savings.same)
    mean = sum(tokens) / sampled
    saved = (kept + same + similar) * mean
    return Expected(sampled, kept, same, similar, saved, max(0.0, checked.good * mean - saved))
