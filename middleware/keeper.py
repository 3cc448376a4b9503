"""Keeps answers: one store, its eviction policy, its breaker and its deadlines behind one face.

Everything here raises; the stops that call it turn a failure into a miss.
"""

from __future__ import annotations

import logging
from time import time
from typing import TYPE_CHECKING, Final

from .breaker import OpenError
from .epochs import Epochs, is_before
from .errors import ForebayError, PayloadError
from .forgotten import Forgotten, ForgottenError
from .housekeeping import ROUND_S, House
from .protocols import Component, Scannable
from .records import Selector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from .breaker import Breaker
    from .events import Evicted
    from .protocols import Eviction, Store
    from .records import Candidate, Entry, Key, Query
    from .state import StateStore

log = logging.getLogger(__name__)
LIST_S: Final = 60.0
"""How long the store may take to list what is to be deleted, at most."""


class Keeper:
    """The answers this process can reach.

    Args:
        state: where the eviction policy's memory outlives a restart.
        read_deadline_s: longest single read; the lookup has a deadline of its own above this.
        write_deadline_s: longest single write; nobody waits for it.
        keeps_house: asked whether this process is the one that sweeps and adopts, where others share the store.
        epochs: what an earlier epoch has is not served, nor kept.
        round_s: seconds between two rounds of keeping house; None for none beside those of writes.

    Attributes:
        forgotten: what was forgotten lately.
    """

    def __init__(
        self,
        store: Store,
        eviction: Eviction,
        breaker: Breaker,
        *,
        state: StateStore | None = None,
        read_deadline_s: float = 0.25,
        write_deadline_s: float = 10.0,
        keeps_house: Callable[[], Awaitable[bool]] | None = None,
        epochs: Epochs | None = None,
        round_s: float | None = ROUND_S,
        clock: Callable[[], float] = time,
    ) -> None:
        self.store = store
        self.damaged = 0
        self.forgotten = Forgotten()
        self.epochs = Epochs() if epochs is None else epochs
        self._breaker = breaker
        self._read_s = read_deadline_s
        self._write_s = write_deadline_s
        self._clock = clock
        self.house = House(
            store,
            eviction,
            breaker,
            state=state,
            write_deadline_s=write_deadline_s,
            keeps_house=keeps_house,
            bumped=self.epochs.selectors,
            round_s=round_s,
            clock=clock,
        )

    async def start(self) -> None:
        """Open the store and tell the eviction policy what it holds.

        Raises:
            StoreError: the store cannot be opened; it may come back by itself later.
        """
        self.house.begin()
        if isinstance(self.store, Component):
            await self.store.start()
        await self.house.start()

    async def stop(self) -> None:
        """Close the store; what the eviction policy learned is kept for the next start."""
        await self.house.stop()
        if isinstance(self.store, Component):
            await self.store.stop()

    async def knows(self, key: Key) -> bool:
        """Return whether the scope holds anything: if not, no lookup is worth an embedding."""
        return await self._breaker.call(lambda: self.store.count(key.scope), self._read_s) > 0

    async def get(self, key: Key, *, stale: bool = False) -> Entry | None:
        """Return the fresh entry with exactly this key. A damaged one is dropped and counts as none.

        Args:
            stale: also one that has expired and is within its grace.
        """
        entry = await self._breaker.call(lambda: self._read(key.exact), self._read_s)
        if isinstance(entry, PayloadError):
            self.damaged += 1
            log.warning("dropped a kept answer: %s", entry)
            await self._delete(Selector(id=key.exact))
            return None
        # a store is not believed: whatever it hands out must be what was asked for
        if entry is None or (entry.id, entry.scope, entry.context) != (key.exact, key.scope, key.context):
            return None
        return entry if self._usable(entry, stale=stale) else None

    async def search(self, query: Query, *, stale: bool = False) -> Sequence[Candidate]:
        """Return fresh neighbours of the same scope whose contexts may be compared, best first.

        Args:
            stale: also those that have expired and are within their grace.
        """
        found = await self._breaker.call(lambda: self.store.search(query), self._read_s)
        return [
            candidate
            for candidate in found
            if candidate.entry.scope == query.key.scope
            and candidate.entry.comparable == query.key.comparable
            and candidate.entry.embedder == query.embedder
            and self._usable(candidate.entry, stale=stale)
        ]

    async def put(self, entry: Entry, started_s: float = float("inf"), *, worth: float = 1.0) -> list[Evicted]:
        """Keep an entry and drop what no longer fits; return what was dropped.

        Args:
            started_s: when the request began whose answer this is, by the monotonic clock.
            worth: share of its cost, in [0, 1], that would be lost with it: less where another entry would answer the same.

        Raises:
            ForgottenError: something like it was forgotten since then; it is not kept.
        """
        if self.forgotten.since(entry, started_s) or not self.epochs.holds(entry):
            raise ForgottenError("forgotten while it was computed")
        async with self.house.owed.writing(entry.id):
            try:
                await self._breaker.call(lambda: self.store.put(entry), self._write_s)
            except OpenError:
                raise
            except Exception:  # it may have been written all the same
                self.house.owe(entry.id)
                raise
            # while it was written: the deletion may have been before
            forgotten = self.forgotten.since(entry, started_s) or not self.epochs.holds(entry)
            if forgotten:
                self.house.owe(entry.id)
            else:
                self.house.kept(entry.id)
        if forgotten:
            await self.house.pay()
            raise ForgottenError("forgotten while it was written")
        return await self.house.added(entry, worth)

    def touched(self, entry: Entry) -> None:
        """Note that an entry was served."""
        self.house.touched(entry.id)

    async def forget(self, selector: Selector) -> int:
        """Delete what matches; return how many entries that were.

        An answer whose request began before is not kept any more where it matches.
        """
        self.forgotten.note(selector)
        return await self._delete(selector)

    async def _delete(self, selector: Selector) -> int:
        gone = [selector.id] if selector.id is not None else await self._ids(selector)
        deleted = await self._breaker.call(lambda: self.store.delete(selector), self._write_s)
        self.house.removed(gone)
        return deleted

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield kept entries.

        Raises:
            ForebayError: the configured store cannot list its entries.
        """
        if not isinstance(self.store, Scannable):
            raise ForebayError("the configured store cannot list its entries")
        return self.store.scan(selector)

    async def _read(self, entry_id: str) -> Entry | PayloadError | None:
        try:
            return await self.store.get(entry_id)
        except PayloadError as error:  # the store works: this must not open its breaker
            return error

    async def _ids(self, selector: Selector) -> list[str]:
        if not isinstance(self.store, Scannable):
            return []

        async def listed(scannable: Scannable) -> list[str]:
            return [entry.id async for entry in scannable.scan(selector)]

        store = self.store
        return await self._breaker.call(lambda: listed(store), LIST_S)

    def _usable(self, entry: Entry, *, stale: bool) -> bool:
        self._catch_up(entry)
        until_s = entry.until_s if stale else entry.expires_s
        return entry.id not in self.house.owed and until_s > self._clock() and self.epochs.holds(entry)

    def _catch_up(self, entry: Entry) -> None:
        """Learn of a bump that this process missed from an entry that was made after it."""
        if is_before(self.epochs.of(entry.tenant), entry.epoch):
            self.forgotten.note(Selector(tenant=entry.tenant))
            self.epochs.seen(entry)
