"""Parts of request analysis that can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import sleep
from typing import Any

from forebay.middleware.analysis.facts import (
    Length,
    Outcome,
    Priority,
    Profile,
    RequestFacts,
    Subject,
    Urgency,
)
from forebay.middleware.analysis.strategies import Choice, Situation, Strategy
from forebay.middleware.analysis.stream import Arrival, Forecast, StreamFacts
from forebay.middleware.hookspecs import hookimpl
from forebay.middleware.records import JsonObject, Request
from forebay.middleware.registry import CLASSIFIER, PREDICTOR, STRATEGY, STREAM, NoSettings, Registrar

BUDGET_MS = 5.0


def crash(*_: Any) -> Any:
    raise RuntimeError("told to fail")


def late(*_: Any) -> Any:
    sleep(5 * BUDGET_MS / 1000)  # longer than it may take: this is the subject
    return None


def wrong(*_: Any) -> Any:
    return {"median": 7}


def impossible(*_: Any) -> Any:
    return Length(median=float("nan"), q90=-1.0)


class Classifies:
    """Says "batch", and that nothing may be kept; or fails."""

    def __init__(self, fails: Callable[..., Any] | None = None) -> None:
        self.fails = fails

    def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
        if self.fails is not None and (self.fails is not late or self.fails() is not None):
            made: RequestFacts = self.fails(facts)
            return made
        return replace(facts, urgency=Urgency(Priority.BATCH, "told"), profile=Profile(facts.input_tokens))


class Predicts:
    """Says seven tokens, and remembers what it was taught; or fails."""

    def __init__(self, fails: Callable[..., Any] | None = None, *, learns: bool = True) -> None:
        self.fails = fails
        self.learns = learns
        self.asked: list[Subject] = []
        self.learned: list[Outcome] = []

    def predict(self, subject: Subject) -> RequestFacts:
        self.asked.append(subject)
        if self.fails is not None and (self.fails is not late or self.fails() is not None):
            made: RequestFacts = self.fails(subject)
            return made
        return replace(subject.facts, length=Length(7.0, 9.0, 0.5, "told"))

    def learn(self, outcome: Outcome) -> None:
        if not self.learns:
            crash()
        self.learned.append(outcome)

    def report(self) -> Sequence[JsonObject]:
        return [{"n": len(self.learned)}]

    def snapshot(self) -> JsonObject:
        return {"n": len(self.learned)}

    def restore(self, state: JsonObject) -> None:
        if not isinstance(state["n"], int):
            raise TypeError


class Watches:
    """Counts, and forecasts as many again; or fails."""

    def __init__(self, fails: Callable[..., Any] | None = None) -> None:
        self.fails = fails
        self.seen: list[Arrival] = []

    def arrived(self, arrival: Arrival) -> None:
        if self.fails is not None:
            self.fails()
        self.seen.append(arrival)

    def read(self, now_s: float, facts: StreamFacts) -> StreamFacts:
        if self.fails is not None:
            made: StreamFacts = self.fails()
            return made
        rate = float(len(self.seen))
        return replace(facts, forecasts={10.0: Forecast(10.0, rate, 0.0, rate + 1)})

    def report(self) -> Sequence[JsonObject]:
        return []

    def snapshot(self) -> JsonObject:
        return {}

    def restore(self, state: JsonObject) -> None:
        raise KeyError


class Chooses:
    """Always the same strategy; or fails."""

    def __init__(self, fails: Callable[..., Any] | None = None, strategy: Strategy | None = None) -> None:
        self.fails = fails
        self.strategy = strategy or Strategy("told")
        self.asked: list[Situation] = []

    def choose(self, situation: Situation) -> Choice:
        self.asked.append(situation)
        if self.fails is not None:
            made: Choice = self.fails()
            return made
        return Choice(self.strategy, "told")


class Plugin:
    """Registers the four as "told"."""

    def __init__(
        self,
        classifies: Classifies | None = None,
        predicts: Predicts | None = None,
        watches: Watches | None = None,
        chooses: Chooses | None = None,
    ) -> None:
        self.classifies = classifies or Classifies()
        self.predicts = predicts or Predicts()
        self.watches = watches or Watches()
        self.chooses = chooses or Chooses()

    @hookimpl
    def register_components(self, registry: Registrar) -> None:
        registry.add(CLASSIFIER, "told", lambda _settings, _build: self.classifies, settings=NoSettings)
        registry.add(PREDICTOR, "told", lambda _settings, _build: self.predicts, settings=NoSettings)
        registry.add(STREAM, "told", lambda _settings, _build: self.watches, settings=NoSettings)
        registry.add(STRATEGY, "told", lambda _settings, _build: self.chooses, settings=NoSettings)


OWN: dict[str, Any] = {
    "classifiers": {"profile": "off", "priority": "off", "volatility": "off", "told": {}},
    "predictors": {
        **dict.fromkeys(("fingerprint", "neighbours", "length", "work", "difficulty"), "off"),
        "told": {},
    },
    "stream": {"pattern": "off", "forecast": "off", "told": {}},
    "strategy": {"type": "told"},
    "analysis": {"budget_ms": BUDGET_MS},
}
"""Settings that put the four in the place of the built-in ones."""
