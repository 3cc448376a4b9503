"""What a batch takes, learned from the batches that ran. Pure: no clock."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.admission.tickets import Ticket

STEPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Sizes that are considered; a size between two is corrected as the larger."""
_FORGETTING: Final = 0.99
_RIDGE: Final = 1e-9
_SWEEPS: Final = 16
_KEPT: Final = 9
_ENOUGH: Final = 2
_DOUBT: Final = 0.5
_LEAST_S: Final = 1e-9
_STALE: Final = 512
_TIDY: Final = 16
_LENGTHS: Final = 32
_HUNDRED: Final = 100.0
_PARTS: Final = 8


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the durations of batches depend on; each field is a number, or an array with one number a batch.

    Attributes:
        size: members.
        tokens: of all prompts; `squares`: of all prompts, each squared; `longest`: of the longest one.
        output: of the longest answer.
        lengths: how many different prompt lengths there are; engines that pad nothing run each of them on its own.
    """

    size: Any
    tokens: Any
    squares: Any
    longest: Any
    output: Any
    lengths: Any

    def parts(self) -> Any:
        """Return the parts of the line, one row each."""
        # in this order: of two that do not differ, the first takes the whole
        rows = (
            1.0,
            self.tokens / _HUNDRED,
            self.output / _HUNDRED,
            self.lengths,
            self.size,
            self.squares / _HUNDRED**2,
            self.size * self.longest / _HUNDRED,
            self.size * self.output / _HUNDRED,
        )
        parts: Any = np.empty((_PARTS, *np.shape(self.longest)))
        for at, row in enumerate(rows):
            parts[at] = row
        return parts


def shape_of(members: Sequence[Ticket]) -> Shapes:
    """Return the shape of a batch that ran, with at least one member."""
    prompts = [member.input_tokens for member in members]
    output = max(member.output_tokens for member in members)
    squares = sum(prompt * prompt for prompt in prompts)
    return Shapes(len(members), sum(prompts), squares, max(prompts), output, len(set(prompts)))


class LatencyCurve:
    """Seconds of a batch = a + b·size + c·tokens + d·squares + e·size·longest + (f + g·size)·output + h·lengths.

    None of the weights is negative.

    Least squares of the relative error, with forgetting, from the normal equations by projected coordinate descent: a few passes
    a batch, started from where the last one ended. Parts that were never seen to differ are told apart in favour of larger batches: all
    is held to be fixed cost until sizes differ, and so they are tried.

    Where at least two batches of a size and length (in powers of two), or else of a size, were measured, the median of measured over line corrects the
    line there; a measurement counts for 512 batches, so that what was slow once is tried again.
    """

    def __init__(self) -> None:
        self._gram: Any = np.zeros((_PARTS, _PARTS))
        self._target: Any = np.zeros(_PARTS)
        self._weights: Any = np.zeros(_PARTS)
        # by size and length; the last column: of all lengths
        self._seen: dict[tuple[int, int], deque[tuple[Any, float, int]]] = {}
        self._own: Any = np.full((len(STEPS), _LENGTHS + 1), math.nan)
        self._factors: Any = np.ones((len(STEPS), _LENGTHS))
        self.batches = 0

    def learn(self, shape: Shapes, seconds: float) -> None:
        """Take in what a batch took; a duration that is not above 0 is left out."""
        if not 0 < seconds < float("inf"):
            return
        self.batches += 1
        parts = shape.parts()
        scaled = parts / seconds
        self._gram = _FORGETTING * self._gram + np.outer(scaled, scaled)
        self._target = _FORGETTING * self._target + scaled
        self._descend()
        step = step_of(shape.size)
        cells = [(step, int(_length_of(shape.longest))), (step, _LENGTHS)]
        for cell in cells:
            self._seen.setdefault(cell, deque(maxlen=_KEPT)).append((parts, seconds, self.batches))
        # the line has moved on, below all others, too: now and then
        for cell in list(self._seen) if self.batches % _TIDY == 0 else cells:
            self._own[cell] = self._factor(self._seen[cell])
        any_length = np.nan_to_num(self._own[:, _LENGTHS:], nan=1.0)
        self._factors = np.where(np.isnan(self._own[:, :_LENGTHS]), any_length, self._own[:, :_LENGTHS])

    def seconds(self, shapes: Shapes) -> Any:
        """Return what batches of these shapes are expected to take; all of them are of one size."""
        line: Any = self._weights @ shapes.parts()
        return line * self._factors[step_of(shapes.size), _length_of(shapes.longest)]

    def _factor(self, seen: deque[tuple[Any, float, int]]) -> float:
        while seen and seen[0][2] <= self.batches - _STALE:
            seen.popleft()
        if len(seen) < _ENOUGH:
            return math.nan
        ratios = (seconds / max(float(self._weights @ parts), _LEAST_S) for parts, seconds, _ in seen)
        # drawn towards the line: of many sizes the luckiest looks best
        return float(median(ratios) ** (len(seen) / (len(seen) + _DOUBT)))

    def _descend(self) -> None:
        gram: list[list[float]] = self._gram.tolist()
        target: list[float] = self._target.tolist()
        weights: list[float] = self._weights.tolist()
        for _ in range(_SWEEPS):
            for at, line in enumerate(gram):
                own = line[at]
                if own > 0:
                    rest = sum(map(float.__mul__, line, weights)) - own * weights[at]
                    weights[at] = max(0.0, (target[at] - rest) / (own * (1 + _RIDGE)))
        self._weights = np.array(weights)


def step_of(size: int) -> int:
    """Return the place in `STEPS` of the smallest size that is not below this one."""
    return min(bisect_left(STEPS, size), len(STEPS) - 1)


def _length_of(longest: Any) -> Any:
    return np.minimum(np.frexp(longest)[1], _LENGTHS - 1)
