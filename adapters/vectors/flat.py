"""Points as rows of a matrix, compared with every one: exact, and the fastest way for a few thousand."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_np: Any = import_module("numpy")  # its types would spread through the whole file

_FIRST_ROOM: Final = 8
_BLOCK: Final = 512
"""Rows multiplied at once: a larger product is divided among threads, which wait for each other for milliseconds on a
machine whose cores are busy."""

_STEPS: Final = 127
GONE: Final = -1


class Flat:
    """Unit vectors as rows; the last one moves into the place of one that is removed.

    Args:
        dimension: length of a row.
        int8: keep a byte a number, and one scale a row; scores are then off by about 0.001.

    Attributes:
        handles: whose row it is, `GONE` for nobody's.
        frozen: rows keep their places: one that is removed becomes nobody's.
    """

    def __init__(self, dimension: int, *, int8: bool = False) -> None:
        self.handles: Any = _np.empty(_FIRST_ROOM, dtype=_np.int64)
        self.frozen = False
        self.dimension = dimension
        self._rows: Any = _np.empty((_FIRST_ROOM, dimension), dtype=_np.int8 if int8 else _np.float32)
        self._scales: Any = _np.empty(_FIRST_ROOM, dtype=_np.float32) if int8 else None
        self._size = 0
        self._gone = 0

    def __len__(self) -> int:
        return self._size

    @property
    def alive(self) -> int:
        """How many rows are somebody's."""
        return self._size - self._gone

    def add(self, handle: int, vector: Any) -> int:
        """Add a row and return its place."""
        row = self._size
        if row == len(self._rows):
            self.handles = _doubled(self.handles)
            self._rows = _doubled(self._rows)
            self._scales = None if self._scales is None else _doubled(self._scales)
        if self._scales is None:
            self._rows[row] = vector
        else:
            scale = float(_np.abs(vector).max()) / _STEPS
            self._scales[row] = scale
            _np.rint(vector / scale, out=self._rows[row], casting="unsafe")
        self.handles[row] = handle
        self._size += 1
        return row

    def remove(self, row: int) -> int:
        """Remove a row; return whose row is in its place now, `GONE` where it is nobody's."""
        if self.frozen:
            self.handles[row] = GONE
            self._gone += 1
            return GONE
        self._size -= 1
        last = self._size
        if row == last:
            return GONE
        self._rows[row] = self._rows[last]
        self.handles[row] = self.handles[last]
        if self._scales is not None:
            self._scales[row] = self._scales[last]
        return int(self.handles[row])

    def rows(self, start: int, end: int) -> Any:
        """Return rows as a float32 matrix."""
        if self._scales is None:
            return self._rows[start:end]
        return self._rows[start:end] * self._scales[start:end, None]

    def nearest(self, vector: Any, limit: int) -> tuple[Any, Any]:
        """Return handles and scores, best first. May run in a thread while the loop's thread adds to it."""
        size, handles, rows, scales = self._size, self.handles, self._rows, self._scales
        scores = _np.empty(size, dtype=_np.float32)
        for start in range(0, size, _BLOCK):
            block = rows[start : min(size, start + _BLOCK)]
            _np.dot(block if scales is None else block.astype(_np.float32), vector, out=scores[start : start + _BLOCK])
        if scales is not None:
            scores *= scales[:size]
        if self._gone:
            scores[handles[:size] == GONE] = -2.0
        count = min(limit, self.alive)
        best = _np.argpartition(-scores, count - 1)[:count] if count < size else _np.arange(size)
        best = best[_np.argsort(-scores[best], kind="stable")]
        return handles[best], scores[best]


def _doubled(array: Any) -> Any:
    return _np.concatenate([array, _np.empty_like(array)])
