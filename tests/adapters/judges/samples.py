"""The labelled pairs of `pairs.json`, and what a judge makes of them.

The texts were written for these tests. `same` says whether the kept answer could stand for the fresh one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.middleware.records import AnswerPair

if TYPE_CHECKING:
    from forebay.middleware.protocols import Judge


@dataclass(frozen=True, slots=True)
class Sample:
    category: str
    same: bool
    pair: AnswerPair


def load() -> list[Sample]:
    rows = json.loads(Path(__file__).with_name("pairs.json").read_text(encoding="utf-8"))
    return [
        Sample(row["category"], row["same"], AnswerPair(row["question"], row["question"], row["kept"], row["fresh"]))
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Score:
    """Shares: of the pairs that are the same (different), how many the judge called so; and its false verdicts."""

    sensitivity: float
    specificity: float
    false_same: int
    false_different: int
    abstained: float


async def score(judge: Judge, samples: list[Sample]) -> Score:
    said: Counter[tuple[bool, bool | None]] = Counter()
    for sample in samples:
        said[sample.same, (await judge.compare(sample.pair)).same] += 1
    same = sum(sample.same for sample in samples)
    return Score(
        sensitivity=said[True, True] / same,
        specificity=said[False, False] / (len(samples) - same),
        false_same=said[False, True],
        false_different=said[True, False],
        abstained=(said[True, None] + said[False, None]) / len(samples),
    )
