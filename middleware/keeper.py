"""Keeps answers: one store, its eviction policy, its breaker and its deadlines behind one face.

Everything here raises; the stops that call it turn a failure into a miss.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import time
from typing import TYPE_CHECKING, Final

from .breaker import OpenError
from .epochs import Epochs, is_before
from .errors import ForebayError, PayloadError
from .events import Evicted
from .forgotten import Forgotten, ForgottenError
from .protocols import Component, Placed, Scannable
from .records import EVERYTHING, Selector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from .breaker import Breaker
    from .protocols import Eviction, Store
    from .records import Candidate, Entry, Key, Query
    from .state import StateStore

log = logging.getLogger(__name__)
SNAPSHOT: Final = "eviction"
ADOPT_S: Final = 60.0
LIST_S: Final = 60.0
"""How long the store may take to list what is to be deleted, at most."""
SWEPT_AT_ONCE: Final = 16
"""Epochs of which a sweep deletes what they have left behind, at most; the others wait for the next."""
SWEPT_KEPT: Final = 20_000
"""Epochs that are known to have been swept; one that is forgotten is swept once more."""
SWEEP_S: Final = 300.0
"""How often the store is read through to drop what has expired, or to learn what it holds, at most."""


class Keeper:
    """The answers this process can reach.

    Args:
        state: where the eviction policy's memory outlives a restart.
        read_deadline_s: longest single read; the lookup has a deadline of its own above this.
        write_deadline_s: longest single write; nobody waits for it.
        keeps_house: asked whether this process is the one that sweeps and adopts, where others share the store.
        epochs: what an earlier epoch has is not served, nor kept.

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
        clock: Callable[[], float] = time,
    ) -> None:
        self.store = store
        self.damaged = 0
        self.forgotten = Forgotten()
        self.epochs = Epochs() if epochs is None else epochs
        self._adopted = False
        self._tried_s = float("-inf")
        self._swept_s = float("-inf")
        self._swept: dict[Selector, None] = {}
        self._eviction = eviction
        self._breaker = breaker
        self._state = state
        self._read_s = read_deadline_s
        self._write_s = write_deadline_s
        self._keeps_house = keeps_house
        self._clock = clock
        # to be deleted and why: the eviction policy knows nothing of them any more, and they are not served
        self._owed: dict[str, str] = {}

    async def start(self) -> None:
        """Open the store and tell the eviction policy what it holds.

        Raises:
            StoreError: the store cannot be opened; it may come back by itself later.
        """
        if isinstance(self.store, Component):
            await self.store.start()
        if await self._is_mine():
            await self._adopt()

    async def stop(self) -> None:
        """Close the store; what the eviction policy learned is kept for the next start."""
        if self._state is not None and self._adopted:
            self._state.save(SNAPSHOT, {"saved_s": self._clock(), "policy": dict(self._eviction.snapshot())})
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
        try:
            await self._breaker.call(lambda: self.store.put(entry), self._write_s)
        except OpenError:
            raise
        except Exception:  # it may have been written all the same
            self._owe(entry.id)
            raise
        if self.forgotten.since(entry, started_s) or not self.epochs.holds(
            entry
        ):  # while it was written: the deletion may have been before
            self._owe(entry.id)
            await self._drop([])
            raise ForgottenError("forgotten while it was written")
        now = self._clock()
        await self._adopt_late(now)
        self._owed.pop(entry.id, None)  # it was owed, and is kept anew
        victims = self._eviction.added(entry.id, entry.size_bytes, entry.cost * worth, now)
        try:
            return [*await self._drop(victims), *await self._sweep(now)]
        except (ForebayError, TimeoutError) as error:  # the entry is kept all the same
            log.info("making room failed: %s", type(error).__name__)
            return []

    def touched(self, entry: Entry) -> None:
        """Note that an entry was served."""
        self._eviction.touched(entry.id, self._clock())

    async def forget(self, selector: Selector) -> int:
        """Delete what matches; return how many entries that were.

        An answer whose request began before is not kept any more where it matches.
        """
        self.forgotten.note(selector)
        return await self._delete(selector)

    async def _delete(self, selector: Selector) -> int:
        gone = [selector.id] if selector.id is not None else await self._ids(selector)
        deleted = await self._breaker.call(lambda: self.store.delete(selector), self._write_s)
        for entry_id in gone:
            self._eviction.removed(entry_id)
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

    async def _adopt(self) -> None:
        """Tell the eviction policy what the store holds; also after a store that was down at start came back."""
        if isinstance(self.store, Scannable):
            async with asyncio.timeout(ADOPT_S):
                known = [entry async for entry in self.store.scan(EVERYTHING)]
            since = self._restore()
            gone: set[str] = set()  # dropped for an older one: no longer there to be told of
            for entry in sorted(known, key=lambda entry: entry.created_s):
                if entry.created_s > since and entry.id not in gone:
                    victims = self._eviction.added(entry.id, entry.size_bytes, entry.cost, entry.created_s)
                    gone.update(victims)
                    await self._drop(victims)
        self._adopted = True

    async def _adopt_late(self, now: float) -> None:
        """Adopt where the start could not: by one writer, and seldom, since it reads the whole store."""
        if self._adopted or now - self._tried_s < SWEEP_S:
            return
        self._tried_s = now
        if not await self._is_mine():
            return
        try:
            await self._adopt()
        except (ForebayError, TimeoutError) as error:
            log.info("the store's entries cannot be listed: %s", type(error).__name__)

    def _restore(self) -> float:
        """Take over the eviction policy's snapshot; return since when it knows nothing."""
        saved = self._state.load(SNAPSHOT) if self._state is not None else None
        try:
            if saved is not None:
                self._eviction.restore(saved["policy"])
                return float(saved["saved_s"])
        except (ValueError, KeyError, TypeError):
            log.info("the eviction policy starts without its snapshot: it is another policy's")
        return float("-inf")

    async def _is_mine(self) -> bool:
        """Return whether this process keeps house in the store: always, where it is the only one that uses it."""
        if self._keeps_house is None or not (isinstance(self.store, Placed) and self.store.shared):
            return True
        return await self._keeps_house()

    async def _sweep(self, now: float) -> list[Evicted]:
        """Drop what has expired, now and then: no store here does it by itself."""
        if now - self._swept_s < SWEEP_S:
            return []
        self._swept_s = now
        if not await self._is_mine():
            return []
        dropped: list[Evicted] = []
        bumped = [selector for selector in self.epochs.selectors() if selector not in self._swept]
        for selector in [Selector(expired_at_s=now), *bumped[:SWEPT_AT_ONCE]]:
            gone = await self._ids(selector)
            if gone:
                await self._delete(selector)
            reason = "expired" if selector.epoch is None else "invalidated"
            dropped += [Evicted(entry_id, reason) for entry_id in gone]
            if selector.epoch is not None:
                self._swept[selector] = None
                if len(self._swept) > SWEPT_KEPT:
                    del self._swept[next(iter(self._swept))]
        return dropped

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
        return entry.id not in self._owed and until_s > self._clock() and self.epochs.holds(entry)

    def _catch_up(self, entry: Entry) -> None:
        """Learn of a bump that this process missed from an entry that was made after it."""
        if is_before(self.epochs.of(entry.tenant), entry.epoch):
            self.forgotten.note(Selector(tenant=entry.tenant))
            self.epochs.seen(entry)

    def _owe(self, entry_id: str) -> None:
        self._eviction.removed(entry_id)
        self._owed[entry_id] = ""

    async def _drop(self, victims: Sequence[str]) -> list[Evicted]:
        """Delete what the eviction policy has dropped and what is owed; what fails is owed, and done with the next."""
        dropped: list[Evicted] = []
        self._owed.update(dict.fromkeys(victims, "capacity"))
        while self._owed:
            victim = next(iter(self._owed))
            await self._breaker.call(partial(self.store.delete, Selector(id=victim)), self._write_s)
            reason = self._owed.pop(victim, "")
            if reason:
                dropped.append(Evicted(victim, reason))
        return dropped
