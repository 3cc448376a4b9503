"""How long the longest answer of a batch will be, from predictions that are often wrong. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT: Final = 256
_ENOUGH: Final = 8
_EXACT: Final = 0.1
_POINTS: Final = 32
_NEVER: Final = 1e-12


class Longest:
    """Expected longest answer, from how far the last 256 answers were from what was predicted for them.

    The longest of n answers is below t with the product of the chances that each is: with F the distribution of answer over
    prediction, E max = ∫ 1 - Π F(t / prediction) dt, up to the longest answer seen. It is longer than the longest prediction, the more so the more members might be it;
    who takes the longest prediction holds large batches for shorter than they are.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._errors: Any = np.zeros(1)
        self._most = 0.0
        self._exact = True

    def learn(self, predicted: Sequence[float], answers: Sequence[float]) -> None:
        """Take in the answers of a batch; members without one are left out."""
        for guess, answer in zip(predicted, answers, strict=True):
            if 0 < answer < math.inf:
                log = math.log(answer)
                self._seen.append((log, log - math.log(max(guess, 1.0))))
        if len(self._seen) >= _ENOUGH:
            logs, errors = np.array(self._seen).T
            self._errors = np.sort(errors)
            self._most = float(logs.max())
            tenth = len(errors) // 10
            # the grid below is coarser than such errors
            self._exact = bool(np.abs(self._errors[tenth : len(errors) - tenth]).max() < _EXACT)

    def among(self, predicted: Any, sizes: Sequence[int]) -> list[Any]:
        """Return for each size the tokens of the longest answer of each batch of so many neighbours; see `maxima` for sizes."""
        if self._exact:
            return maxima(predicted, sizes)
        logs = np.log(np.maximum(predicted, 1.0))
        least = min(float(self._errors[0] + logs.min()), self._most - _EXACT)
        grid = np.linspace(least, self._most, _POINTS)
        numpy: Any = np
        below: Any = numpy.searchsorted(self._errors, grid[None, :] - logs[:, None], side="right") / len(self._errors)
        chances = np.vstack([np.zeros(_POINTS), np.cumsum(np.log(np.maximum(below, _NEVER)), axis=0)])
        tokens = np.exp(grid)
        above = [1.0 - np.exp(chances[size:, :-1] - chances[:-size, :-1]) for size in sizes]
        return [tokens[0] + chance @ np.diff(tokens) for chance in above]


def maxima(values: Any, sizes: Sequence[int]) -> list[Any]:
    """Return for each size the largest of each so many neighbours; sizes ascend from 1 and at most double."""
    found: list[Any] = []
    before = 1
    for size in sizes:
        shift = size - before
        values = np.maximum(values[:-shift], values[shift:]) if shift else values
        found.append(values)
        before = size
    return found
