"""A store whose calls are noted, held up and failed, for tests of the tier in front of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.errors import StoreError
from tests.contract.entries import query_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.middleware.records import Candidate, Entry, Query, Selector


class NotedStore(MemoryStore):
    """Notes its calls; fails those named in `failing`, after it did what they say.

    Attributes:
        open: while it is not set, a scan waits before it yields what it has already read.
    """

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.reading = asyncio.Event()
        self._shared = shared

    @property
    def shared(self) -> bool:
        return self._shared

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.failing:
            raise StoreError("no answer in time")

    async def get(self, entry_id: str) -> Entry | None:
        self._note("get")
        return await super().get(entry_id)

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        self._note("get_many")
        return await super().get_many(entry_ids)

    async def search(self, query: Query) -> Sequence[Candidate]:
        self._note("search")
        return await MemoryStore.search(self, query)

    async def put(self, entry: Entry) -> None:
        await super().put(entry)
        self._note("put")

    async def delete(self, selector: Selector) -> int:
        deleted = await super().delete(selector)
        self._note("delete")
        return deleted

    async def count(self, scope: str | None = None) -> int:
        self._note("count")
        return await super().count(scope)

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        self._note("scan")
        read = [entry async for entry in super().scan(selector)]
        self.reading.set()
        await self.open.wait()
        for entry in read:
            yield entry


async def questions(store: HotTier, entry: Entry, **search: Any) -> list[str]:
    return [candidate.entry.question for candidate in await store.search(query_of(entry, **search))]
