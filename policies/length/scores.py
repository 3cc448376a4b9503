"""How good predictions of the length were, as running figures."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from .state import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Length

ALL: Final = "all"
_MODELS: Final = 31
_NAME_CHARS: Final = 64
_MEMORY: Final = 1_000
_COMPARED: Final = 8


@dataclass(slots=True)
class Score:
    """Of about the last thousand predictions of one answering model.

    Attributes:
        ordered: of pairs of answers near each other in time, those predicted in the right order less the others, over all:
            an estimate of Kendall's tau.
    """

    count: float = 0.0
    covered: float = 0.0
    error: float = 0.0
    pairs: float = 0.0
    ordered: float = 0.0
    last: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def learn(self, predicted: Length, tokens: float) -> None:
        """Compare a prediction with what happened."""
        self.count += 1
        share = 1 / min(self.count, _MEMORY)
        self.covered += ((tokens <= predicted.q90) - self.covered) * share
        self.error += (abs(math.log((predicted.median + 1) / (tokens + 1))) - self.error) * share
        for median, actual in self.last:
            sign = (predicted.median - median) * (tokens - actual)
            if sign:
                self.pairs += 1
                right = 1 if sign > 0 else -1
                self.ordered += (right - self.ordered) / min(self.pairs, _COMPARED * _MEMORY)
        self.last = [*self.last[1 - _COMPARED :], (predicted.median, tokens)]

    def row(self) -> list[float]:
        """Return its numbers."""
        return [self.count, self.covered, self.error, self.pairs, self.ordered]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Score:
        """Return the one that `row` was taken of.

        Raises:
            ValueError: a number is out of its range.
        """
        count, covered, error, pairs, ordered = numbers
        if not (min(count, error, pairs) >= 0 and 0 <= covered <= 1 and -1 <= ordered <= 1):
            raise ValueError("not a score")
        return cls(count, covered, error, pairs, ordered)


class Scores:
    """A score a model, of the models that were used last, and one of all."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Score] = OrderedDict()
        self._all = Score()

    def learn(self, model: str, predicted: Length, tokens: float) -> None:
        """Compare a prediction with what happened."""
        name = model[:_NAME_CHARS]
        score = self._models.setdefault(name, Score())
        self._models.move_to_end(name)
        if len(self._models) > _MODELS:
            self._models.popitem(last=False)
        for each in (score, self._all):
            each.learn(predicted, tokens)

    def report(self) -> list[dict[str, Any]]:
        """Return a row of all, then one a model."""
        scores = [(ALL, self._all), *sorted(self._models.items(), key=itemgetter(0))]
        return [
            {
                "fact": "length",
                "answering_model": name,
                "n": int(score.count),
                "coverage_q90": round(score.covered, 4) if score.count else None,
                "mae_log": round(score.error, 4) if score.count else None,
                "kendall_tau": round(score.ordered, 4) if score.pairs else None,
            }
            for name, score in scores
        ]

    def load(self, state: Any) -> None:
        """Take over what `rows` returned.

        Raises:
            ValueError, TypeError: it is something else.
        """
        (_, whole), *models = rows_of(state, _MODELS + 1, len(Score().row()))
        self._all = Score.of(whole)
        self._models = OrderedDict((name, Score.of(numbers)) for name, numbers in models)

    def rows(self) -> list[list[str | float]]:
        """Return all scores as rows of a name and numbers, that of all first."""
        named = [("", self._all), *self._models.items()]
        return [[name, *score.row()] for name, score in named]
