"""What a process keeps in memory of a collection that nobody else writes to: a Milvus Lite file's.

Which ids there are, the entries that were written or read lately, and the vectors of the groups that were searched. All
of it follows every write, so most requests need not ask Milvus at all.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import StoreError
from .filters import BY_ID
from .hot import HotEntries
from .pages import exact_counts
from .vectors import VectorGroups

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from ...middleware.records import Entry, Vector
    from .counts import ExactCounts
    from .pages import Call
    from .vectors import Group

_GROUPED: Final = ["id", "context", "embedder", "has_vector", "vector"]
_VECTORS_A_PAGE: Final = 100


class SoleWriter:
    """The memory of the only writer; without it everything is asked of Milvus, and is right all the same.

    Args:
        call: asks Milvus.

    Attributes:
        hot: entries by the text in their id column.
    """

    def __init__(self, call: Call) -> None:
        self.hot = HotEntries()
        self._call = call
        self._counts: ExactCounts | None = None
        self._vectors = VectorGroups()
        self._loading: dict[Group, asyncio.Task[None]] = {}
        self._writing = asyncio.Lock()

    async def begin(self, call: Call) -> None:
        """Learn what a collection holds that was just opened."""
        self.forget()
        self._counts = await exact_counts(call)

    def forget(self) -> None:
        """Everything may be different from now on."""
        self._counts = None
        self.hot.changed()
        self._vectors.clear()

    async def stop(self) -> None:
        """Stop reading in the background."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def read(self) -> None:
        """Wait until what is being read in the background is there."""
        await asyncio.gather(*self._loading.values())

    def lacks(self, name: str) -> bool:
        """Return whether there is surely no entry with this id."""
        return self._counts is not None and not self._counts.holds(name)

    async def counted(self, connect: Callable[[], Awaitable[None]]) -> ExactCounts:
        """Return how many entries there are, by scope; counts them again where that is not known.

        Raises:
            StoreError: Milvus failed.
        """
        counts = self._counts
        if counts is None:
            async with self._writing:
                await connect()
                counts = self._counts
                if counts is None:
                    counts = self._counts = await exact_counts(self._call)
        return counts

    @asynccontextmanager
    async def changing(self) -> AsyncGenerator[None]:
        """Let one change in at a time, and count again after a failed one."""
        async with self._writing:
            try:
                yield
            except BaseException:
                # it may have happened all the same, or may yet
                self._counts = None
                self._vectors.clear()
                raise

    def wrote(self, row: Mapping[str, Any], entry: Entry) -> None:
        """Note a row that was written, and what is read from it."""
        if self._counts is not None:
            self._counts.added(row["id"], row["scope"])
            self.hot.read(entry, self.hot.version)
        vector = row["vector"] if row["has_vector"] else None
        self._vectors.put(row["id"], (row["scope"], row["context"], row["embedder"]), vector)

    def deleted(self, names: Sequence[str]) -> None:
        """Note entries that were deleted."""
        for name in names:
            if self._counts is not None:
                self._counts.removed(name)
            self._vectors.remove(name)

    def nearest(self, group: Group, vector: Vector, limit: int) -> list[tuple[str, float]] | None:
        """Return ids and cosines of a group's nearest; None while its vectors are being read."""
        best = self._vectors.search(group, vector, limit)
        if best is None and group not in self._loading:
            task = asyncio.create_task(self._load(group), name="forebay-milvus-vectors")
            self._loading[group] = task
            task.add_done_callback(lambda _: self._loading.pop(group, None))
        return best

    async def _load(self, group: Group) -> None:
        """Read a group's vectors, a page at a time: no lookup waits for it, and those between the pages go on."""
        async with self._writing:
            ids = self._counts.ids(group[0]) if self._counts is not None else []
            found: list[Any] = []
            for at in range(0, len(ids), _VECTORS_A_PAGE):
                page = {"ids": ids[at : at + _VECTORS_A_PAGE]}
                try:
                    rows: Any = await self._call("query", filter=BY_ID, filter_params=page, output_fields=_GROUPED)
                except StoreError:
                    return  # the next search tries again
                found += [row for row in rows if row["has_vector"] and (row["context"], row["embedder"]) == group[1:]]
            if self._counts is not None:
                self._vectors.load(group, [str(row["id"]) for row in found], [row["vector"] for row in found])
