"""Request analysis: what is found out about a flight, the strategy chosen from it, and what is learned afterwards.

Classifiers run for every request, before the lookup. Predictors run for what the engine will be asked: a hit needs no
prediction, and by then the lookup may have had the question's vector made. Each part is guarded: without it its fact is
absent, and the flight's decisions and span say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .. import semconv
from ..answer_values import is_truncated
from ..records import Hit, Mode
from ..telemetry import annotate, end_span
from .facts import Outcome, RequestFacts, Subject, packed
from .guard import Guard
from .strategies import Choice, Situation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.trace import Span

    from ..admission.lanes import Lanes
    from ..flight import Flight
    from ..telemetry import Telemetry
    from .goodput import Goodput
    from .learning import Memory
    from .protocols import Classifier, Predictor, Strategist
    from .watch import StreamWatch

EMBEDDINGS: Final = "embeddings"


@dataclass(frozen=True, slots=True)
class Parts:
    """What request analysis is made of; classifiers and predictors by name, in the order they run."""

    classifiers: Mapping[str, Classifier]
    predictors: Mapping[str, Predictor]
    strategist: Strategist
    watch: StreamWatch
    goodput: Goodput
    memory: Memory


class Analysis:
    """Runs the parts for flights.

    Args:
        budget_s: for each call of a part; what takes longer is dropped.
    """

    def __init__(
        self,
        parts: Parts,
        lanes: Lanes,
        telemetry: Telemetry,
        *,
        budget_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._classifiers = [
            (Guard("classifier", name, telemetry, budget_s), part) for name, part in parts.classifiers.items()
        ]
        self._predictors = [
            (Guard("predictor", name, telemetry, budget_s), part) for name, part in parts.predictors.items()
        ]
        self._strategist = parts.strategist
        self._choosing = Guard("strategy", "strategy", telemetry, budget_s)
        self._lanes = lanes
        self._telemetry = telemetry
        self._clock = clock
        self.watch = parts.watch
        self.goodput = parts.goodput
        self.memory = parts.memory

    def classify(self, flight: Flight, facts: RequestFacts, span: Span) -> RequestFacts:
        """Return the facts with those of the classifiers; also chooses the flight's strategy."""
        absent: list[str] = []
        for guard, part in self._classifiers:
            made, why = guard.run(partial(part.classify, flight.request, facts), RequestFacts)
            if made is None:
                absent.append(self._absent(flight, guard.name, why))
            else:
                facts = _narrowed(facts, made)
        self._choose(flight, facts, absent)
        if span.is_recording():
            annotate(span, _classified(flight, facts, absent))
        return facts

    def predict(self, flight: Flight) -> None:
        """Find out what the engine will have to do, for a flight that was looked up; then tell the stream's analyzers."""
        facts = flight.facts
        if facts is None or flight.mode is Mode.OFF or flight.told:
            return
        flight.told = True
        # embeddings generate nothing: there is nothing to predict
        if not isinstance(flight.lookup, Hit) and self._predictors and flight.request.endpoint != EMBEDDINGS:
            self._predict(flight, facts)
        self.watch.arrived(flight)

    def ended(self, flight: Flight) -> None:
        """Learn from a flight that is over. Nobody waits for it."""
        if flight.mode is Mode.OFF:
            return
        now = self._clock()
        self._score(flight, now)
        if flight.subject is None or flight.entered_s is None or flight.hit is not None:
            return  # the engine did not compute it
        outcome = outcome_of(flight, flight.subject)
        self._compare(outcome)
        for guard, part in self._predictors:
            guard.quiet(partial(part.learn, outcome))
        self.memory.learned()

    def _predict(self, flight: Flight, facts: RequestFacts) -> None:
        span = self._telemetry.child(semconv.SPAN_PREDICT, flight.span)
        subject = Subject(flight.request, facts, flight.key, packed(flight.vector), self._clock(), self._lanes.load)
        absent: list[str] = []
        for guard, part in self._predictors:
            made, why = guard.run(partial(part.predict, subject), RequestFacts)
            if made is None:
                absent.append(self._absent(flight, guard.name, why))
            else:
                subject = subject.having(_narrowed(subject.facts, made))
        flight.predicted(subject)
        values = _predicted(subject.facts)
        shown: dict[str, Any] = {name.removeprefix("forebay."): value for name, value in values.items()}
        flight.decide("predict", "predicted", **shown)
        annotate(span, {**values, semconv.FACTS_ABSENT: absent or None})
        end_span(span)

    def _choose(self, flight: Flight, facts: RequestFacts, absent: list[str]) -> None:
        load = self._lanes.load
        goodput = self.goodput.share(self._clock())
        situation = Situation(flight.request, facts, load, self.watch.facts(), self._lanes.places, goodput)
        choice, why = self._choosing.run(partial(self._strategist.choose, situation), Choice)
        if choice is None:
            absent.append(self._absent(flight, "strategy", why))
            return
        flight.choice = choice
        flight.decide("strategy", choice.strategy.name, choice.reason)
        self._telemetry.count(semconv.METRIC_STRATEGIES, strategy=choice.strategy.name, reason=choice.reason)

    def _compare(self, outcome: Outcome) -> None:
        """Put what was predicted beside what happened into the metrics."""
        facts = outcome.subject.facts
        if not outcome.complete or outcome.truncated:
            return
        if facts.length is not None and outcome.output_tokens:
            self._telemetry.ratio("length", outcome.output_tokens, facts.length.median)
        seconds = facts.work.seconds if facts.work is not None else None
        if seconds is not None and outcome.entered_s is not None and outcome.ended_s is not None:
            self._telemetry.ratio("seconds", outcome.ended_s - outcome.entered_s, seconds)

    @staticmethod
    def _absent(flight: Flight, name: str, why: str) -> str:
        flight.decide("analyze", "absent", why, fact=name)
        return f"{name}: {why}"

    def _score(self, flight: Flight, now_s: float) -> None:
        """Note whether the flight met its objective."""
        facts = flight.facts
        if facts is None or flight.ended_s is None:
            return
        if flight.refused:
            self.goodput.refused(now_s)
            return
        if not flight.complete:
            return  # the caller left, or the engine failed: that is not lateness
        first = flight.first_token_s
        tokens = flight.answer.output_tokens if flight.answer is not None else 0
        tpot = (flight.ended_s - first) / (tokens - 1) if first is not None and tokens > 1 else None
        met = self.goodput.ended(
            facts.priority,
            now_s,
            ttft_s=first - flight.started_s if first is not None else None,
            tpot_s=tpot,
            total_s=flight.ended_s - flight.started_s,
        )
        self._telemetry.count(semconv.METRIC_OBJECTIVES, priority=facts.priority.value, met=str(met).lower())


def outcome_of(flight: Flight, subject: Subject) -> Outcome:
    """Return what became of a flight that the engine computed."""
    answer = flight.answer
    return Outcome(
        subject=subject,
        input_tokens=answer.input_tokens if answer is not None else 0,
        output_tokens=answer.output_tokens if answer is not None else 0,
        complete=flight.complete and answer is not None,
        truncated=answer is not None and is_truncated(answer),
        lane=flight.lane or flight.request.model,
        entered_s=flight.entered_s,
        first_token_s=flight.first_token_s,
        ended_s=flight.ended_s,
    )


def _narrowed(before: RequestFacts, after: RequestFacts) -> RequestFacts:
    """Return facts in which nothing may be kept or compared that might not before."""
    if after.cacheable <= before.cacheable and after.semantic <= before.semantic:
        return after
    return after.having(cacheable=after.cacheable and before.cacheable, semantic=after.semantic and before.semantic)


def _classified(flight: Flight, facts: RequestFacts, absent: Sequence[str]) -> dict[str, object]:
    choice = flight.choice
    return {
        semconv.PRIORITY: facts.priority.value,
        semconv.PRIORITY_REASON: facts.urgency.reason if facts.urgency is not None else None,
        semconv.VOLATILITY: facts.staleness.volatility.value if facts.staleness is not None else None,
        semconv.LANGUAGE: facts.profile.language if facts.profile is not None else None,
        semconv.STRATEGY: choice.strategy.name if choice is not None else None,
        semconv.STRATEGY_REASON: choice.reason if choice is not None else None,
        semconv.FACTS_ABSENT: list(absent) or None,
    }


def _predicted(facts: RequestFacts) -> dict[str, object]:
    values: dict[str, object] = {}
    if facts.length is not None:
        values[semconv.LENGTH_MEDIAN] = round(facts.length.median, 1)
        values[semconv.LENGTH_Q90] = round(facts.length.q90, 1)
        values[semconv.LENGTH_CONFIDENCE] = round(facts.length.confidence, 3)
    if facts.work is not None and facts.work.seconds is not None:
        values[semconv.WORK_SECONDS] = round(facts.work.seconds, 4)
    if facts.work is not None and facts.work.usd is not None:
        values[semconv.WORK_USD] = round(facts.work.usd, 8)
    if facts.difficulty is not None:
        values[semconv.DIFFICULTY] = round(facts.difficulty.score, 3)
    if facts.fingerprint is not None:
        values[semconv.TEMPLATE] = facts.fingerprint.template[:16] or None
    if facts.neighbours is not None:
        values[semconv.NEIGHBOURS] = facts.neighbours.recent_same + facts.neighbours.recent_similar
    return {name: value for name, value in values.items() if value is not None}
