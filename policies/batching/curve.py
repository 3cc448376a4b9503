"""What a batch takes, learned from the batches that ran. Pure: no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.admission.tickets import Ticket

WARM_UP: Final = 4
"""Batches after which the line is believed."""
_FORGETTING: Final = 0.99
_RIDGE: Final = 1e-9
_SWEEPS: Final = 16
STEPS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_KEPT: Final = 9
_ENOUGH: Final = 2
_DOUBT: Final = 0.5
_LEAST_S: Final = 1e-9
_ANY: Final = -1
_STALE: Final = 512
_TIDY: Final = 16
_HUNDRED: Final = 100.0
_PARTS: Final = 9


@dataclass(frozen=True, slots=True)
class Shape:
    """What a batch's duration depends on.

    Attributes:
        size: members.
        tokens: of all prompts; `squares`: of all prompts, each squared; `longest`: of the longest one.
        output: of the longest predicted answer.
        lengths: how many different prompt lengths there are; engines that pad nothing run each of them on its own.
        shared: blocks of prompts that another member has, too.
    """

    size: int
    tokens: float
    squares: float
    longest: int
    output: float
    lengths: float = 1
    shared: float = 0


def shape_of(members: Sequence[Ticket]) -> Shape:
    """Return the shape of a batch with at least one member."""
    prompts = [member.input_tokens for member in members]
    chains = [member.prefix for member in members]
    shared = sum(map(len, chains)) - len({block for chain in chains for block in chain}) if any(chains) else 0
    output = max(member.output_tokens for member in members)
    squares = sum(prompt * prompt for prompt in prompts)
    return Shape(len(members), sum(prompts), squares, max(prompts), output, len(set(prompts)), shared)


@dataclass(slots=True)
class _Cell:
    """Batches of one size, or of one size and length: the parts of each, seconds, and when, counted in batches."""

    seen: deque[tuple[tuple[float, ...], float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    factor: float | None = None

    def settle(self, weights: Sequence[float], batches: int) -> None:
        """Forget what is stale, and take the median of measured over line of the rest."""
        while self.seen and self.seen[0][2] <= batches - _STALE:
            self.seen.popleft()
        count = len(self.seen)
        self.factor = None
        if count >= _ENOUGH:
            ratios = (seconds / max(_line(weights, parts), _LEAST_S) for parts, seconds, _ in self.seen)
            # drawn towards the line: of many sizes the luckiest looks best
            self.factor = median(ratios) ** (count / (count + _DOUBT))


class LatencyCurve:
    """Seconds of a batch = a + b·size + c·tokens + d·squares + e·size·longest + (f + g·size)·output + h·lengths - i·shared.

    None of the weights is negative.

    Least squares of the relative error, with forgetting, from the normal equations by projected coordinate descent: a few passes
    a batch, started from where the last one ended. Parts that were never seen to differ are told apart in favour of larger batches: all
    is held to be fixed cost until sizes differ, and so they are tried.

    Where at least two batches of a size and length, or else of a size, were measured, the median of measured over line corrects the line there; a
    measurement counts for 512 batches, so that what was slow once is tried again.
    """

    def __init__(self) -> None:
        self._gram = [[0.0] * _PARTS for _ in range(_PARTS)]
        self._target = [0.0] * _PARTS
        self.weights = [0.0] * _PARTS
        self._cells: dict[tuple[int, int], _Cell] = {}
        self.batches = 0

    @property
    def ready(self) -> bool:
        """Whether enough batches were measured to believe it."""
        return self.batches >= WARM_UP

    def learn(self, shape: Shape, seconds: float) -> None:
        """Take in what a batch took; a duration that is not above 0 is left out."""
        if not 0 < seconds < float("inf"):
            return
        self.batches += 1
        parts = _parts(shape)
        scaled = [part / seconds for part in parts]
        for row, one in enumerate(scaled):
            line = self._gram[row]
            for column, other in enumerate(scaled):
                line[column] = _FORGETTING * line[column] + one * other
            self._target[row] = _FORGETTING * self._target[row] + one
        self._descend()
        for key in cells_of(shape.size, shape.longest):
            cell = self._cells.setdefault(key, _Cell())
            cell.seen.append((parts, seconds, self.batches))
            cell.settle(self.weights, self.batches)
        if self.batches % _TIDY == 0:  # the line has moved on
            for key in list(self._cells):
                self._cells[key].settle(self.weights, self.batches)
                if not self._cells[key].seen:
                    del self._cells[key]

    def seconds(self, shape: Shape) -> float:
        """Return what a batch of this shape is expected to take."""
        return max(0.0, _line(self.weights, _parts(shape))) * self.factor(shape.size, shape.longest)

    @property
    def sharing_s(self) -> float:
        """Seconds that a shared block of a prompt saves."""
        return self.weights[-1]

    def factor(self, size: int, longest: int) -> float:
        """Return measured over line at this size and length, else at this size, else 1."""
        for key in cells_of(size, longest):
            cell = self._cells.get(key)
            if cell is not None and cell.factor is not None:
                return cell.factor
        return 1.0

    def _descend(self) -> None:
        weights = self.weights
        for _ in range(_SWEEPS):
            for at, line in enumerate(self._gram):
                own = line[at]
                if own <= 0:
                    continue
                rest = sum(map(_times, line, weights)) - own * weights[at]
                weights[at] = max(0.0, (self._target[at] - rest) / (own * (1 + _RIDGE)))


def cells_of(size: int, longest: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return which measurements belong together, the narrower first: sizes in steps, lengths in powers of two."""
    step = bisect_left(STEPS, size)
    return (step, longest.bit_length()), (step, _ANY)


def _line(weights: Sequence[float], parts: Sequence[float]) -> float:
    return sum(map(_times, weights, parts))


def _times(one: float, other: float) -> float:
    return one * other


def _parts(shape: Shape) -> tuple[float, ...]:
    # in this order: of two that do not differ, the first takes the whole
    size = shape.size
    return (
        1.0,
        shape.tokens / _HUNDRED,
        shape.output / _HUNDRED,
        float(shape.lengths),
        float(size),
        shape.squares / _HUNDRED**2,
        size * shape.longest / _HUNDRED,
        size * shape.output / _HUNDRED,
        -float(shape.shared),
    )
