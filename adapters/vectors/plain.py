"""Points compared one by one in pure Python: for an installation without numpy."""

from __future__ import annotations

import asyncio
import math
from heapq import nlargest
from operator import itemgetter, mul
from typing import TYPE_CHECKING, Final

from .points import length

if TYPE_CHECKING:
    from .points import Group, Parts

_SLICE: Final = 256
"""Points compared before other tasks get a turn: about 5 ms at 384 dimensions."""


class PlainVectors:
    """Points by group; see `Vectors`. Exact, and about 15 microseconds a point of 384 dimensions."""

    def __init__(self) -> None:
        self._groups: dict[Group, dict[str, list[float]]] = {}
        self._group_of: dict[str, Group] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._group_of

    def put(self, name: str, group: Group, parts: Parts) -> None:
        """See `Vectors.put`."""
        point = _joined(parts)
        self.remove(name)
        self._groups.setdefault(group, {})[name] = point
        self._group_of[name] = group

    def remove(self, name: str) -> None:
        """See `Vectors.remove`."""
        group = self._group_of.pop(name, None)
        if group is not None:
            points = self._groups[group]
            del points[name]
            if not points:
                del self._groups[group]

    async def nearest(self, group: Group, parts: Parts, limit: int) -> list[tuple[str, float]]:
        """See `Vectors.nearest`."""
        asked = _joined(parts)
        known = list(self._groups.get(group, {}).items())
        scored: list[tuple[str, float]] = []
        for start in range(0, len(known), _SLICE):
            if start:
                await asyncio.sleep(0)
            scored.extend(
                (name, sum(map(mul, asked, other)))
                for name, other in known[start : start + _SLICE]
                if len(other) == len(asked)
            )
        return nlargest(limit, scored, key=itemgetter(1))

    def clear(self) -> None:
        """See `Vectors.clear`."""
        self._groups.clear()
        self._group_of.clear()

    async def stop(self) -> None:
        """See `Vectors.stop`."""


def _joined(parts: Parts) -> list[float]:
    share = math.sqrt(len(parts))
    return [value / (share * size) for part in parts for size in (length(part),) for value in part]
