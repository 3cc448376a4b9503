"""Replays prompts through predictors, as traffic in order or in folds, and measures what they said."""

from __future__ import annotations

import math
import random
import time
from bisect import bisect_right, insort
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Length, Outcome, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.analysis.protocols import Predictor

MEAN: Final = "mean"
PREQUENTIAL: Final = "prequential"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt for each answering model, and how long each answer was."""

    subjects: Mapping[str, Subject]
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Point:
    """A prediction and what came true, in the order of the file."""

    model: str
    median: float
    q90: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one predictor said of one file in one mode.

    Attributes:
        points: predictions of prompts that were not learned yet, in the order of the file; without the first ones, in which
            it was cold.
        predict_us, learn_us: median CPU time of one call.
    """

    predictor: str
    mode: str
    points: Sequence[Point]
    predict_us: float
    learn_us: float


def prequential(name: str, make: Callable[[], Predictor], exchanges: Sequence[Exchange], skip: int) -> Measured:
    """Predict each prompt for each of its models, then learn the answers, in the order of the file.

    Args:
        skip: how many prompts at the beginning are learned without being counted.
    """
    run = _Run(make())
    points: list[Point] = []
    for at, exchange in enumerate(exchanges):
        said = run.ask(exchange)
        if at >= skip:
            points += said
    return run.measured(name, PREQUENTIAL, points)


def folded(name: str, make: Callable[[], Predictor], exchanges: Sequence[Exchange], folds: int, seed: int) -> Measured:
    """Learn all but one part of the prompts in a shuffled order, predict that part, and so on for each part."""
    order = list(range(len(exchanges)))
    random.Random(seed).shuffle(order)  # noqa: S311 - not a secret
    said: dict[int, list[Point]] = {}
    run = _Run(make())
    for fold in range(folds):
        run.predictor = make()
        for at in order:
            if at % folds != fold:
                run.ask(exchanges[at])
        for at in range(fold, len(exchanges), folds):
            said[at] = run.ask(exchanges[at], learn=False)
    return run.measured(name, f"{folds}-fold", [point for at in sorted(said) for point in said[at]])


class _Run:
    """A predictor at work, with the time that it takes."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._predicted: list[int] = []
        self._learned: list[int] = []

    def ask(self, exchange: Exchange, *, learn: bool = True) -> list[Point]:
        """Predict for all models before any answer is known."""
        points: list[Point] = []
        told: dict[str, Subject] = {}
        for model, subject in exchange.subjects.items():
            before = time.thread_time_ns()
            facts = self.predictor.predict(subject)
            self._predicted.append(time.thread_time_ns() - before)
            told[model] = replace(subject, facts=facts)
            length = facts.length or Length(0.0, 0.0)
            points.append(Point(model, length.median, length.q90, exchange.tokens[model]))
        for model, subject in told.items() if learn else ():
            before = time.thread_time_ns()
            self.predictor.learn(Outcome(subject, output_tokens=exchange.tokens[model]))
            self._learned.append(time.thread_time_ns() - before)
        return points

    def measured(self, name: str, mode: str, points: Sequence[Point]) -> Measured:
        return Measured(name, mode, points, median(self._predicted) / 1e3, median(self._learned or [0]) / 1e3)


class ByInput:
    """The baseline that takes the prompt's tokens for the length; its quantile is the running one."""

    def __init__(self) -> None:
        self._lengths: list[int] = []

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the length."""
        tokens = float(subject.facts.prompt_tokens)
        return replace(subject.facts, length=Length(tokens, max(tokens, self._quantile(0.9))))

    def learn(self, outcome: Outcome) -> None:
        """Keep the length."""
        insort(self._lengths, outcome.output_tokens)

    def _quantile(self, share: float) -> float:
        return float(self._lengths[int(share * len(self._lengths))]) if self._lengths else 0.0

    def report(self) -> Sequence[dict[str, object]]:
        """Return nothing."""
        return ()

    def snapshot(self) -> dict[str, object]:
        """Return the lengths."""
        return {"lengths": list(self._lengths)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Refuse: a measurement begins anew."""
        raise ValueError(f"a baseline of the lab keeps nothing, {len(state)} fields were given")


class Running(ByInput):
    """The baseline that says the same of every prompt: the quantiles of all answers so far."""

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the length."""
        return replace(subject.facts, length=Length(self._quantile(0.5), self._quantile(0.9)))


def rows_of(file: str, measured: Measured) -> list[dict[str, object]]:
    """Return a row an answering model, and one of their mean where there are several."""
    models = sorted({point.model for point in measured.points})
    rows = [
        _row(file, model, measured, [point for point in measured.points if point.model == model]) for model in models
    ]
    if len(models) > 1:
        together = {name: _mean(row[name] for row in rows) for name in ("kendall_tau", "coverage_q90", "mae_log")}
        rows.insert(0, {**rows[0], "answering_model": MEAN, "n": len(measured.points), **together})
    return rows


def _row(file: str, model: str, measured: Measured, points: Sequence[Point]) -> dict[str, object]:
    tau = kendall([point.median for point in points], [point.tokens for point in points])
    return {
        "file": file,
        "mode": measured.mode,
        "answering_model": model,
        "predictor": measured.predictor,
        "n": len(points),
        "kendall_tau": None if tau is None else round(tau, 4),
        "coverage_q90": round(fmean(point.tokens <= point.q90 for point in points), 4),
        "mae_log": round(fmean(abs(math.log((point.median + 1) / (point.tokens + 1))) for point in points), 4),
        "us_per_request": round(measured.predict_us, 1),
        "us_per_outcome": round(measured.learn_us, 1),
    }


def _mean(values: Iterable[object]) -> float | None:
    known = [float(value) for value in values if isinstance(value, int | float)]
    return round(fmean(known), 4) if known else None


def kendall(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return Kendall's tau-b, None where one side is all ties.

    By merge sort in O(n log n): W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966.
    """
    pairs = sorted(zip(left, right, strict=True))
    count = len(pairs) * (len(pairs) - 1) // 2
    tied_left, tied_right = _ties(left), _ties(right)
    if count in (tied_left, tied_right):
        return None
    _, swaps = _sorted([value for _, value in pairs])
    concordant_less_discordant = count - tied_left - tied_right + _ties(pairs) - 2 * swaps
    return concordant_less_discordant / math.sqrt((count - tied_left) * (count - tied_right))


def _ties(values: Sequence[object]) -> int:
    counts: dict[object, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return sum(many * (many - 1) // 2 for many in counts.values())


def _sorted(values: Sequence[float]) -> tuple[list[float], int]:
    """Return the values in order, and how many pairs were in the wrong one."""
    if len(values) <= 1:
        return list(values), 0
    half = len(values) // 2
    (low, before), (high, after) = _sorted(values[:half]), _sorted(values[half:])
    swaps = sum(len(low) - bisect_right(low, value) for value in high)
    return sorted(low + high), before + after + swaps
