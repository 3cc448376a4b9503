"""The hot tier: what a process keeps in memory of the store behind it, so that most lookups ask nobody.

A write goes to the store first and into memory after it, so it is found at once and nothing is found that the store
does not hold. In front of a store that only this process writes to, it knows which ids there are, finds the nearest in
its own index and keeps entries decoded; while it is still being filled, it asks the store.

In front of a store that others write to, it must not serve what they may have deleted, and does not know what they
wrote. So entries always come from the store, by id: exact hits and counts are asked of it, and so is whatever the index
finds. Where the nearest of the index is `NEAR` or nearer, that is the answer; else the store itself is searched, too.
An entry of another process that is nearer still may stay unseen then; a wrong one cannot be served for it.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...middleware.errors import PayloadError, StoreError
from ..vectors.made import make_vectors
from ..vectors.points import group_of, group_sought, parts_of, parts_sought, ranked
from .behind import Behind
from .counts import ExactCounts
from .entries import MOST_BYTES, HotEntries
from .filling import Filling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from ...middleware.accesses import Batch, Recording
    from ...middleware.events import Health
    from ...middleware.protocols import Store
    from ...middleware.records import Candidate, Entry, Query, Selector

NEAR: Final = 0.95
"""Mean cosine from which on a store that others write to is not searched itself."""

_SPARE: Final = 8
"""So many more are compared exactly where the index's cosines are rough."""


class HotTier:
    """A store in front of another.

    Args:
        store: what holds the entries.
        max_bytes: memory for decoded entries, about; ids and vectors come on top.
        int8: keep a byte a number in the index; what it finds is compared by the entries' own vectors.
    """

    def __init__(self, store: Store, *, max_bytes: int = MOST_BYTES, int8: bool = False) -> None:
        self._behind = Behind(store)
        self._store = store
        self._shared = self._behind.shared
        self._entries = HotEntries(max_bytes)
        self._vectors = make_vectors(int8=int8)
        self._spare = _SPARE if int8 else 0
        self._counts = ExactCounts()
        self._filling = Filling(store, self._found)
        self._doubtful: set[str] = set()
        self._writing = asyncio.Lock()

    @property
    def place(self) -> str:
        """Say where the entries are."""
        return self._behind.place

    @property
    def shared(self) -> bool:
        """Return whether other processes may work on the same entries."""
        return self._shared

    @property
    def damaged(self) -> int:
        """Entries left out so far because their payload was not ours."""
        return self._behind.damaged

    async def start(self) -> None:
        """Open the store and begin to read it.

        Raises:
            StoreError: the store cannot be opened.
        """
        await self._behind.start()
        self._filling.covers(None)

    async def stop(self) -> None:
        """Stop reading and close the store."""
        await self._filling.stop()
        await self._vectors.stop()
        await self._behind.stop()
        self._forget()
        self._filling.again()

    async def check_ready(self) -> Sequence[Health]:
        """Say how the store is."""
        return await self._behind.check_ready()

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, expired or not, or None.

        Raises:
            StoreError: the store failed.
            PayloadError: the entry is damaged.
        """
        if self._shared:
            return await self._store.get(entry_id)
        if self._lacks(entry_id):
            return None
        entry = self._entries.get(entry_id)
        if entry is None:
            version = self._entries.version
            entry = await self._store.get(entry_id)
            if entry is not None:
                self._entries.read(entry, version)
        return entry

    async def search(self, query: Query) -> Sequence[Candidate]:
        """Return the nearest entries of the query's group, best first.

        Raises:
            StoreError: the store failed.
        """
        parts = parts_sought(query)
        if parts is None:
            return []
        group = group_sought(query)
        shared = self._shared
        if not self._filling.covers(query.key.scope) and not shared:
            return await self._store.search(query)
        near = await self._vectors.nearest(group, parts, query.limit + self._spare)
        if not shared:
            return ranked(query, await self._fetched([name for name, _ in near]))
        if near and near[0][1] >= NEAR:
            candidates = ranked(query, await self._confirmed([name for name, _ in near]))
            if candidates and candidates[0].similarity + candidates[0].context_similarity >= 2 * NEAR:
                return candidates
        found = await self._store.search(query)
        for candidate in found:
            if candidate.entry.id not in self._vectors:
                self._index(candidate.entry)
        return found

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id: in the store first.

        Raises:
            PayloadError, StoreError: the store refused it, or failed.
        """
        if self._shared:
            await self._store.put(entry)
            self._index(entry)
            return
        own = _owned(entry)
        async with self._writing, self._doubting([entry.id]):
            await self._store.put(entry)
            self._dropped([entry.id])
            self._took(own)
            self._entries.read(own, self._entries.version)

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were.

        Raises:
            StoreError: the store failed; some may be deleted.
        """
        if self._shared:
            if selector.id is not None:
                self._vectors.remove(selector.id)  # another kept entry under this id is found by the store's own search
            return await self._store.delete(selector)
        async with self._writing:  # one change at a time: memory follows the store's order
            names = await self._matching(selector)
            async with self._doubting(names):
                deleted = await self._store.delete(selector)
            self._dropped(names)
            if deleted < len(names):  # one that has the id and not the rest
                self._doubtful.update(names)
        return deleted

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """Delete those of these entries that there are.

        Raises:
            StoreError: the store failed; some may be deleted.
        """
        if self._shared:
            for entry_id in entry_ids:
                self._vectors.remove(entry_id)
            await self._behind.delete_many(entry_ids)
            return
        async with self._writing, self._doubting(entry_ids):
            await self._behind.delete_many(entry_ids)
            self._dropped(entry_ids)

    @property
    def recording(self) -> bool:
        """Whether the store takes batches of accesses."""
        return self._behind.recorder is not None

    async def record(self, batch: Batch) -> None:
        """Write a batch of accesses.

        Raises:
            StoreError: the store failed, or takes none.
        """
        await self._recorder().record(batch)

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return batches of accesses, oldest first, and delete them.

        Raises:
            StoreError: the store failed, or takes none.
        """
        return await self._recorder().take(limit)

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds.

        Raises:
            StoreError: the store failed.
        """
        if self._shared:
            return await self._store.count(scope)
        if self._doubtful:
            await self._resolve()
        return self._counts.of(scope) if self._filling.covers(scope) else await self._store.count(scope)

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matches, from the store.

        Raises:
            StoreError: the store failed, or cannot list its entries.
        """
        return self._behind.scan(selector)

    async def reset(self) -> None:
        """Make the store anew, empty.

        Raises:
            StoreError: the store failed, or cannot be made anew.
        """
        async with self._writing:
            self._forget()
            self._filling.again()
            await self._behind.reset()
            self._filling.emptied()

    async def settled(self) -> None:
        """Wait until all that the store holds is in memory."""
        self._filling.covers(None)
        await self._filling.done()

    def _recorder(self) -> Recording:
        recorder = self._behind.recorder
        if recorder is None:
            raise StoreError("the store behind the hot tier takes no batches of accesses")
        return recorder

    def _lacks(self, entry_id: str) -> bool:
        """Return whether there is surely no entry with this id."""
        return self._filling.covers(None) and not self._counts.holds(entry_id) and entry_id not in self._doubtful

    def _found(self, entry: Entry) -> None:
        """Take in an entry that was read in the background, unless there is one that was written since."""
        if not (entry.id in self._vectors if self._shared else self._counts.holds(entry.id)):
            self._took(entry)

    def _took(self, entry: Entry) -> None:
        """Take in an entry that the store holds."""
        if not self._shared:
            self._counts.added(entry.id, entry.scope)
            self._entries.warm(entry)
        self._index(entry)

    def _index(self, entry: Entry) -> None:
        parts = parts_of(entry)
        if parts is None:
            self._vectors.remove(entry.id)
        else:
            self._vectors.put(entry.id, group_of(entry), parts)

    def _dropped(self, names: Iterable[str]) -> None:
        """Forget entries that are gone, or of which nothing is known."""
        for name in names:
            self._filling.changed(name)
            self._entries.changed(name)
            self._counts.removed(name)
            self._vectors.remove(name)

    def _forget(self) -> None:
        self._entries.changed()
        self._counts.clear()
        self._vectors.clear()
        self._doubtful.clear()

    @asynccontextmanager
    async def _doubting(self, names: Sequence[str]) -> AsyncGenerator[None]:
        """Forget entries whose change failed: it may have happened all the same, or may yet."""
        try:
            yield
        except BaseException:
            self._dropped(names)
            self._doubtful.update(names)
            raise

    async def _resolve(self) -> None:
        """Ask the store what became of the entries whose change failed; it answers after what it was told before."""
        async with self._writing:
            for name in list(self._doubtful):
                try:
                    entry = await self._store.get(name)
                except PayloadError:
                    entry = None
                self._dropped([name])
                if entry is not None:
                    self._took(entry)
                self._doubtful.discard(name)

    async def _matching(self, selector: Selector) -> list[str]:
        """Return the ids of the entries that a selector is about."""
        if selector.id is not None:
            return [selector.id]
        return [entry.id async for entry in self.scan(selector)]

    async def _fetched(self, names: Sequence[str]) -> list[Entry]:
        """Return entries from memory or, where they are not there, from the store."""
        version = self._entries.version
        found = [(name, self._entries.get(name)) for name in names]
        cold = await self._behind.many([name for name, entry in found if entry is None])
        for entry in cold:
            self._entries.read(entry, version)
        return [entry for _, entry in found if entry is not None] + list(cold)

    async def _confirmed(self, names: Sequence[str]) -> Sequence[Entry]:
        """Return entries from the store, and forget those that are not there any more."""
        entries = await self._behind.many(names)
        for name in set(names) - {entry.id for entry in entries}:
            self._vectors.remove(name)
        return entries


def _owned(entry: Entry) -> Entry:
    """Return a copy that its caller cannot change, as the store would return it.

    Raises:
        PayloadError: the answer is not JSON.
    """
    try:
        text = json.dumps(dict(entry.answer.body))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the answer cannot be written as JSON ({type(error).__name__})") from None
    return replace(
        entry,
        answer=replace(entry.answer, body=json.loads(text)),
        vector=None if entry.vector is None else array("f", entry.vector),
        context_vector=None if entry.context_vector is None else array("f", entry.context_vector),
        size_bytes=entry.size_bytes or len(text),
    )
