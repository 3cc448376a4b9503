"""What happens when another process has the Milvus Lite file: a warning, and a cache of our own in memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...middleware.errors import StoreBusyError
from ...middleware.events import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ...middleware.records import Candidate, Entry, Query, Selector
    from ..hot.tier import HotTier
    from ..memory.store import MemoryStore
    from .store import MilvusStore

_log = logging.getLogger(__name__)


class MilvusOrMemory:
    """A Milvus Lite store, or a store in memory while another process holds the file.

    Which of the two is settled when it starts and stays until this process ends.

    Args:
        milvus: tried first; with or without a hot tier in front.
        memory: used where `milvus` is busy.
    """

    def __init__(self, milvus: MilvusStore | HotTier, memory: MemoryStore) -> None:
        self._milvus = milvus
        self._memory = memory
        self._current: MilvusStore | HotTier | MemoryStore = milvus
        self._busy = ""
        self._settled = False

    @property
    def place(self) -> str:
        """Say where the entries are; "" until that is settled."""
        if self._busy:
            return "memory of its own, while another process holds the Milvus Lite file"
        return self._milvus.place if self._settled else ""

    @property
    def shared(self) -> bool:
        """Return False: neither a Lite file nor memory is used by two processes."""
        return False

    @property
    def damaged(self) -> int:
        """Entries left out so far because their payload was not ours."""
        return self._milvus.damaged

    async def start(self) -> None:
        """Open the file, or warn and use memory.

        Raises:
            StoreError: the file cannot be used for another reason.
        """
        try:
            await self._milvus.start()
        except StoreBusyError as error:
            self._busy = str(error)
            self._current = self._memory
            _log.warning("%s; until then this process keeps its answers in memory only", error)
        finally:
            self._settled = True

    async def stop(self) -> None:
        """Let go of the file."""
        await self._milvus.stop()

    async def check_ready(self) -> Sequence[Health]:
        """Say which of the two is in use."""
        if not self._busy:
            return await self._milvus.check_ready()
        fix = "use a Milvus server (store.uri: http://HOST:19530), or end the other process and restart this one"
        detail = f"in memory, {await self._memory.count()} entries, shared with no other process: {self._busy}"
        return [Health("store", ok=False, detail=detail, fix=fix, required=False)]

    async def get(self, entry_id: str) -> Entry | None:
        """See `MilvusStore.get`."""
        return await self._current.get(entry_id)

    async def search(self, query: Query) -> Sequence[Candidate]:
        """See `MilvusStore.search`."""
        return await self._current.search(query)

    async def put(self, entry: Entry) -> None:
        """See `MilvusStore.put`."""
        await self._current.put(entry)

    async def delete(self, selector: Selector) -> int:
        """See `MilvusStore.delete`."""
        return await self._current.delete(selector)

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """See `MilvusStore.delete_many`."""
        await self._current.delete_many(entry_ids)

    async def count(self, scope: str | None = None) -> int:
        """See `MilvusStore.count`."""
        return await self._current.count(scope)

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """See `MilvusStore.scan`."""
        return self._current.scan(selector)

    async def reset(self) -> None:
        """See `MilvusStore.reset`.

        Raises:
            StoreBusyError: another process has the file open.
        """
        if self._busy:
            raise StoreBusyError(self._busy)
        await self._milvus.reset()
