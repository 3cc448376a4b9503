"""The last unit vectors of a stream, to find the nearest of a new one among them."""

from __future__ import annotations

from array import array
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...middleware.records import Vector

Floats: TypeAlias = NDArray[np.float32]

MAX_DIMENSION: Final = 4096
APART: Final = -2.0
"""Similarity of what must not be compared; below any cosine."""
_UNIT: Final = 0.01
_LINE: Final = 16
"""Floats in a line of the CPU's cache."""
_ROUNDING: Final = 1e-5
_EMPTY: Final = 0


class Ring:
    """The last `size` unit vectors, each with the group it may be compared in; a new one takes the place of the oldest.

    At most ``size * MAX_DIMENSION * 3 / 2`` floats of 4 bytes: 2.4 MB for 1,024 of MiniLM's.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: Floats = np.zeros((size, 0), np.float32)
        self._heads: Floats = np.zeros((size, 1), np.float32)  # the first axes of each, and the norm of the rest
        self._groups = np.full(size, _EMPTY, np.int64)
        self._next = 0

    def unit(self, vector: Vector | None) -> Floats | None:
        """Return a vector as an array, None where it is no unit vector of a length that can be kept."""
        if vector is None or not 0 < len(vector) <= MAX_DIMENSION:
            return None
        packed = vector if isinstance(vector, array) and vector.typecode == "f" else array("f", vector)
        unit: Floats = np.frombuffer(packed, np.float32)
        wide = unit.astype(np.float64)  # which no square of a float32 is too large for
        norm = sqrt(wide.dot(wide))
        return unit if abs(norm - 1.0) <= _UNIT else None  # not so for NaN

    def nearness(self, unit: Floats, group: int) -> Floats:
        """Return the cosine with each row, `APART` where the row is empty or of another group."""
        if len(unit) != self._rows.shape[1]:
            return np.full(self.size, APART, np.float32)
        cosines: Floats = self._rows.dot(unit)
        cosines[self._groups != group] = APART
        return cosines

    def nearest(self, unit: Floats, group: int) -> tuple[int, float]:
        """Return the row of the group with the largest cosine, and that; `APART` where there is none."""
        if len(unit) != self._rows.shape[1]:
            return 0, APART
        cosines: Floats = self._rows.dot(unit)
        row = int(cosines.argmax())
        if self._groups.item(row) != group:
            cosines[self._groups != group] = APART
            row = int(cosines.argmax())
        return row, cosines.item(row)

    def near(self, row: int, least: float) -> list[int]:
        """Return the other rows of a row's group whose cosine with it is at least so large.

        About half of each vector decides for most of them: what the rest adds to a cosine is at most the product of the
        rests' norms (Cauchy-Schwarz).
        """
        bounds = self._heads.dot(self._heads[row])
        bounds[row] = APART
        if bounds.item(bounds.argmax()) < least - _ROUNDING:  # nearly always
            return []
        (maybe,) = (bounds >= least - _ROUNDING).nonzero()
        maybe = maybe[self._groups[maybe] == self._groups[row]]
        near: list[int] = maybe[self._rows[maybe].dot(self._rows[row]) >= least].tolist()
        return near

    def put(self, unit: Floats, group: int, row: int | None = None) -> int:
        """Keep a vector in the place of the oldest, or in a given row; return its row."""
        head = _head_of(len(unit))
        if len(unit) != self._rows.shape[1]:
            self._rows = np.zeros((self.size, len(unit)), np.float32)
            self._heads = np.zeros((self.size, head + 1), np.float32)
            self._groups[:] = _EMPTY
        if row is None:
            row = self._next
            self._next = (row + 1) % self.size
        self._rows[row] = unit
        self._heads[row, :head] = unit[:head]
        rest = unit[head:]
        self._heads[row, head] = sqrt(rest.dot(rest))
        self._groups[row] = group
        return row

    def drop(self, row: int) -> None:
        """Let a row be compared no more."""
        self._groups[row] = _EMPTY


def _head_of(size: int) -> int:
    """Return how many of so many axes decide first: half of them, or so many that with the rest's norm rows fill whole lines.

    Where rows do not, multiplying by them takes up to twice the time.
    """
    half = size // 2
    return half if half < _LINE else half // _LINE * _LINE - 1


def group_of(scope: str, comparable: str) -> int:
    """Return the number of what must be equal before two vectors are compared; for this process only."""
    return hash((scope, comparable)) or 1


def nearest(cosines: NDArray[Any], count: int) -> list[int]:
    """Return the places of the largest cosines, largest first, without those apart."""
    if count < len(cosines):
        best = np.argpartition(cosines, -count)[-count:]
        best = best[np.argsort(-cosines[best], kind="stable")]
    else:
        best = np.argsort(-cosines, kind="stable")
    return [int(at) for at in best if cosines[at] > APART]
