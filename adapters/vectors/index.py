"""Points by group: compared one by one where a group is small, in a graph where it is large."""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from .flat import GONE, Flat
from .points import length

if TYPE_CHECKING:
    from .graph import Graph
    from .points import Group, Parts

_np: Any = import_module("numpy")

FLAT_MOST: Final = 2048
"""Comparing so many points of 384 dimensions takes 0.1 ms: no more than a search in a graph, and exact."""

_LONG: Final = 16_384
"""So many are compared in a thread of their own, 2 ms at 384 dimensions: while their graph is being made."""

_GONE_SHARE: Final = 1 / 3
"""A graph of which more than this has been removed is made anew."""

_CHUNK: Final = 256
_REST: Final = 16
"""What was added while a graph was made is added to it in the thread, but for so many at the end: 0.6 ms each."""

_SAMPLE: Final = 16_384


class VectorIndex:
    """Points by group; see `Vectors`. Used by one thread, and makes its graphs in others.

    Args:
        int8: keep a byte a number; scores are then off by about 0.001, so ask for a few more and compare exactly.
        flat_most: larger groups become graphs.
    """

    def __init__(self, *, int8: bool = False, flat_most: int = FLAT_MOST) -> None:
        self._int8 = int8
        self._flat_most = flat_most if find_spec("faiss") is not None else None
        self._handles: dict[str, int] = {}
        self._names: list[str] = []
        self._group_of: list[_Group | None] = []
        self._place_of: Any = _np.empty(8, dtype=_np.int64)
        self._free: list[int] = []
        self._groups: dict[Group, _Group] = {}
        self._making: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._handles)

    def __contains__(self, name: object) -> bool:
        return name in self._handles

    def put(self, name: str, group: Group, parts: Parts) -> None:
        """See `Vectors.put`."""
        point = _point(parts)
        self.remove(name)
        home = self._groups.get(group)
        if home is None:
            home = self._groups[group] = _Group(group, Flat(len(point), int8=self._int8))
        if home.points.dimension != len(point):
            return  # of an embedder that changed its dimension without changing its name
        handle = self._new_handle(name, home)
        self._place_of[handle] = home.points.add(handle, point)
        self._tend(home)

    def remove(self, name: str) -> None:
        """See `Vectors.remove`."""
        handle = self._handles.pop(name, None)
        if handle is None:
            return
        home = self._group_of[handle]
        assert home is not None  # it has one as long as it is in use
        place = int(self._place_of[handle])
        moved = home.points.remove(place)
        if moved != GONE:
            self._place_of[moved] = place
        self._group_of[handle] = None
        self._names[handle] = ""
        self._free.append(handle)
        if not home.points.alive:
            self._groups.pop(home.key, None)
        else:
            self._tend(home)

    async def nearest(self, group: Group, parts: Parts, limit: int) -> list[tuple[str, float]]:
        """See `Vectors.nearest`."""
        home = self._groups.get(group)
        if home is None or limit < 1:
            return []
        point = _point(parts)
        points = home.points
        if len(point) != points.dimension:
            return []
        if isinstance(points, Flat) and len(points) >= _LONG:
            handles, scores = await asyncio.to_thread(points.nearest, point, limit)
        else:
            handles, scores = points.nearest(point, limit)
        pairs = zip(handles.tolist(), scores.tolist(), strict=True)
        return [(self._names[handle], score) for handle, score in pairs if self._names[handle]]

    def clear(self) -> None:
        """See `Vectors.clear`."""
        self._handles.clear()
        self._names.clear()
        self._group_of.clear()
        self._free.clear()
        self._groups.clear()

    async def stop(self) -> None:
        """End the making of graphs; a thread ends after the points it is at."""
        for task in self._making:
            task.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)

    async def settled(self) -> None:
        """Wait for the graphs that are being made."""
        while self._making:
            await asyncio.gather(*self._making)

    def _new_handle(self, name: str, home: _Group) -> int:
        if self._free:
            handle = self._free.pop()
            self._names[handle] = name
            self._group_of[handle] = home
        else:
            handle = len(self._names)
            self._names.append(name)
            self._group_of.append(home)
            if handle == len(self._place_of):
                self._place_of = _np.concatenate([self._place_of, _np.empty_like(self._place_of)])
        self._handles[name] = handle
        return handle

    def _tend(self, home: _Group) -> None:
        """Have a graph made where the group needs one."""
        if home.making or self._flat_most is None:
            return
        points = home.points
        if isinstance(points, Flat):
            if len(points) <= self._flat_most:
                return
            points.frozen = True
        elif len(points) - points.alive <= _GONE_SHARE * len(points):
            return
        home.making = True
        task = asyncio.get_running_loop().create_task(self._make(home, points), name="forebay-graph")
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _make(self, home: _Group, old: Flat | Graph) -> None:
        """Make a graph of a group's points and put it in their place."""
        try:
            graph = await asyncio.to_thread(_begun, old, int8=self._int8)
            taken: list[Any] = []
            done = 0
            while len(old) - done > _REST:
                end = min(len(old), done + _CHUNK)
                taken.append(await asyncio.to_thread(_add, old, done, end, graph))
                done = end
            taken.append(_add(old, done, len(old), graph))
            self._replace(home, old, graph, _np.concatenate(taken))
        finally:
            home.making = False

    def _replace(self, home: _Group, old: Flat | Graph, graph: Graph, taken: Any) -> None:
        if self._groups.get(home.key) is not home:
            return  # all was dropped in the meantime
        handles = old.handles[taken]  # some were removed since they were taken
        graph.owned(handles)
        alive = handles != GONE
        self._place_of[handles[alive]] = _np.flatnonzero(alive)
        home.points = graph


class _Group:
    """The points of a group, as a matrix or as a graph.

    Attributes:
        making: a graph is being made of them.
    """

    __slots__ = ("key", "making", "points")

    def __init__(self, key: Group, points: Flat) -> None:
        self.key = key
        self.points: Flat | Graph = points
        self.making = False


def _begun(old: Flat | Graph, *, int8: bool) -> Graph:
    """Return a graph for some points, empty."""
    from .graph import Graph  # faiss takes 0.1 s to load

    return Graph(old.dimension, sample=old.rows(0, min(len(old), _SAMPLE)) if int8 else None)


def _add(old: Flat | Graph, start: int, end: int, graph: Graph) -> Any:
    """Add the points of some places to a graph that is being made; return the places of those that were somebody's."""
    places = _np.flatnonzero(old.handles[start:end] != GONE)
    if len(places):
        _faiss_alone()
        graph.extend(_np.ascontiguousarray(old.rows(start, end)[places]))
    return places + start


def _faiss_alone() -> None:
    """Let faiss use this thread only: the other cores serve requests."""
    faiss: Any = import_module("faiss")
    faiss.omp_set_num_threads(1)


def _point(parts: Parts) -> Any:
    """Return one unit vector, float32, whose inner product with another is the mean of the parts' cosines."""
    rows = [_np.asarray(part, dtype=_np.float32) / length(part) for part in parts]
    return rows[0] if len(rows) == 1 else _np.concatenate(rows) / _np.float32(len(rows) ** 0.5)
