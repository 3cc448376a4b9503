"""How well a score tells pairs that share an answer from pairs that don't."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import exp, lgamma, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_STEPS = 200


@dataclass(frozen=True, slots=True)
class Point:
    """What a cut at a score lets through: all pairs that score at least this."""

    score: float
    hits: int
    wrong: int


def curve(scores: Sequence[float], same: Sequence[bool]) -> list[Point]:
    """Return one point a distinct score, the highest first."""
    points: list[Point] = []
    hits = wrong = 0
    ranked = sorted(zip(scores, same, strict=True), reverse=True)
    for score, tied in groupby(ranked, key=lambda pair: pair[0]):
        labels = [label for _, label in tied]
        hits += sum(labels)
        wrong += len(labels) - sum(labels)
        points.append(Point(score, hits, wrong))
    return points


def auc(scores: Sequence[float], same: Sequence[bool]) -> float | None:
    """Return the share of (same, other) pairs that the score puts in order, ties half; None without both kinds."""
    points = curve(scores, same)
    positives, negatives = points[-1].hits, points[-1].wrong
    if not positives or not negatives:
        return None
    area = before_hits = before_wrong = 0.0
    for point in points:
        area += (point.wrong - before_wrong) * (point.hits + before_hits) / 2
        before_hits, before_wrong = point.hits, point.wrong
    return area / (positives * negatives)


def tpr_at(scores: Sequence[float], same: Sequence[bool], most: float) -> float | None:
    """Return the best true-hit rate of a cut whose false-hit rate is at most this; None without positives."""
    points = curve(scores, same)
    positives, negatives = points[-1].hits, points[-1].wrong
    if not positives:
        return None
    return max((point.hits for point in points if point.wrong <= most * negatives), default=0) / positives


def best_cut(scores: Sequence[float], same: Sequence[bool]) -> float:
    """Return the score from which to accept so that most pairs are decided rightly."""
    points = curve(scores, same)
    best = max(points, key=lambda point: point.hits - point.wrong)
    return best.score if best.hits > best.wrong else points[0].score


@dataclass(frozen=True, slots=True)
class Bin:
    """A stretch of confidences: its mean, the share of pairs in it that share an answer, how many there are."""

    confidence: float
    share: float
    count: int


def reliability(confidences: Sequence[float], same: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Return the stretches of [0, 1] that hold any pair: a calibrated policy's confidence and share agree."""

    def stretch(confidence: float) -> int:
        return min(int(confidence * bins), bins - 1)

    ranked = sorted(zip(confidences, same, strict=True))
    made: list[Bin] = []
    for _, group in groupby(ranked, key=lambda pair: stretch(pair[0])):
        members = list(group)
        count = len(members)
        made.append(Bin(sum(c for c, _ in members) / count, sum(s for _, s in members) / count, count))
    return made


def clopper_pearson(events: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper and Pearson 1934); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if events == 0 else _solve(lambda p: _at_least(events, trials, p) < tail)
    high = 1.0 if events == trials else _solve(lambda p: 1 - _at_least(events + 1, trials, p) > tail)
    return low, high


def _at_least(events: int, trials: int, p: float) -> float:
    return min(1.0, sum(_binomial(events, trials, p)))


def _binomial(events: int, trials: int, p: float) -> Iterator[float]:
    for k in range(events, trials + 1):
        choices = lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1)
        yield exp(choices + k * log(p) + (trials - k) * log(1 - p))


def _solve(below: Callable[[float], bool]) -> float:
    """Return where `below` turns from true to false, by bisection of (0, 1)."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not 0 < middle < 1 or middle in (low, high):
            break
        low, high = (middle, high) if below(middle) else (low, middle)
    return low
