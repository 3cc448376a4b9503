"""Vectors of the groups that were searched lately, side by side in memory: for a store that nobody else writes to.

Milvus Lite walks through a collection's rows in Python at every search: 5 ms of CPU for 1,000 rows, 30 ms for 5,000. The
same comparison is a multiplication of a matrix here, exact, in tens of microseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import Vector

MOST_VECTORS: Final = 20_000
"""Of all groups together: 30 MB at 384 dimensions."""

_FIRST_ROOM: Final = 64
_np: Any = import_module("numpy")  # its types would spread through the whole file

Group: TypeAlias = tuple[str, str, str]
"""Scope, context and embedder, as they stand in the columns."""


class VectorGroups:
    """Vectors by group; the group that was not searched for longest goes first.

    Args:
        most: vectors to keep; a single group may be larger.
    """

    def __init__(self, most: int = MOST_VECTORS) -> None:
        self._most = most
        self._groups: OrderedDict[Group, _Matrix] = OrderedDict()

    def load(self, group: Group, ids: Sequence[str], vectors: Sequence[Vector]) -> None:
        """Take in everything a group holds."""
        matrix = _Matrix()
        for name, vector in zip(ids, vectors, strict=True):
            matrix.put(name, vector)
        self._groups[group] = matrix
        while len(self._groups) > 1 and sum(map(len, self._groups.values())) > self._most:
            self._groups.popitem(last=False)

    def search(self, group: Group, vector: Vector, limit: int) -> list[tuple[str, float]] | None:
        """Return ids and cosines of a group's nearest, best first; None where the group is not loaded."""
        matrix = self._groups.get(group)
        if matrix is None:
            return None
        self._groups.move_to_end(group)
        return matrix.nearest(vector, limit)

    def put(self, name: str, group: Group, vector: Vector | None) -> None:
        """Note an entry that was written; None for one that is not to be found by vector."""
        self.remove(name)
        matrix = self._groups.get(group)
        if matrix is not None and vector is not None:
            matrix.put(name, vector)

    def remove(self, name: str) -> None:
        """Note an entry that was deleted."""
        for matrix in self._groups.values():
            matrix.remove(name)

    def clear(self) -> None:
        """Forget everything: it is loaded again where it is searched."""
        self._groups.clear()


class _Matrix:
    """Unit vectors as rows; the last one moves into the place of one that is removed."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._row_of: dict[str, int] = {}
        self._rows: Any = None

    def __len__(self) -> int:
        return len(self._names)

    def put(self, name: str, vector: Vector) -> None:
        unit = _unit(vector)
        size = len(self._names)
        if self._rows is None:
            self._rows = _np.empty((_FIRST_ROOM, len(unit)), dtype=_np.float32)
        elif size == len(self._rows):
            self._rows = _np.concatenate([self._rows, _np.empty_like(self._rows)])
        self._rows[size] = unit
        self._row_of[name] = size
        self._names.append(name)

    def remove(self, name: str) -> None:
        row = self._row_of.pop(name, None)
        if row is None:
            return
        last = self._names.pop()
        if last != name:
            self._names[row] = last
            self._row_of[last] = row
            self._rows[row] = self._rows[len(self._names)]

    def nearest(self, vector: Vector, limit: int) -> list[tuple[str, float]]:
        size = len(self._names)
        if not size:
            return []
        cosines = self._rows[:size] @ _unit(vector)
        best = _np.argpartition(-cosines, limit - 1)[:limit] if limit < size else _np.arange(size)
        ranked = sorted(((float(cosines[row]), int(row)) for row in best), reverse=True)
        return [(self._names[row], cosine) for cosine, row in ranked]


def _unit(vector: Vector) -> Any:
    made = _np.asarray(vector, dtype=_np.float32)
    return made / _np.linalg.norm(made)
