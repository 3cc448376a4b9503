"""Keeping house in a store: its eviction policy, what the store holds when it is opened, what has expired, what is owed.

In a store of this process alone all is decided here, and the capacity holds after each write. In a store that several
processes share, the one that holds the claim decides; the others tell it what they kept and served (see `accesses`).
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from .accesses import MOST_IDS, MOST_TOUCHES, Batch, Gathered, Kept, Recording, in_order
from .adoption import Adoption, restored
from .errors import ForebayError
from .owed import Owed
from .protocols import Placed, Scannable
from .records import Selector
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .breaker import Breaker
    from .events import Evicted
    from .protocols import Eviction, Store
    from .records import Entry
    from .state import StateStore

log = logging.getLogger(__name__)
SNAPSHOT: Final = "eviction"
ROUND_S: Final = 10.0
"""How often a round of light work begins; a second after the last one that could not finish."""
PRESSED_S: Final = 1.0
SWEEP_S: Final = 300.0
"""How often what has expired is looked for, or a store that could not be listed is tried again, at most."""
RECONCILE_S: Final = 3600.0
"""How often a shared store is compared with what is known of it: a batch may have been lost."""
BUDGET_S: Final = 0.25
"""How long a round works on the store, but for the call in which that passes."""
START_S: Final = 1.0
"""How long the start waits for the store to be read; the rest is read in rounds."""
MOST_DELETED: Final = 1_000
"""Entries that one round, or one write, deletes at most."""
MOST_TAKEN: Final = 20
"""Batches of others that one round takes at most."""
SNAPSHOT_S: Final = 60.0
SNAPSHOT_SHARE: Final = 200
"""A snapshot that takes long is made seldom: so many times as long lies between two."""
SWEPT_AT_ONCE: Final = 16
"""Epochs of which a sweep deletes what they have left behind, at most; the others wait for the next."""
SWEPT_KEPT: Final = 20_000
"""Epochs that are known to have been swept; one that is forgotten is swept once more."""


class House:
    """What decides which entries go.

    Args:
        state: where the eviction policy's memory outlives a restart.
        write_deadline_s: longest single deletion.
        keeps_house: asked whether this process is the one that keeps house, where others share the store.
        bumped: returns what earlier epochs have.
        round_s: seconds between two rounds; None for none: then writes alone keep house.
        clock: Unix time in seconds.
        timer: seconds that never go back, for budgets.

    Attributes:
        owed: what is to be deleted; it is not served.
    """

    def __init__(
        self,
        store: Store,
        eviction: Eviction,
        breaker: Breaker,
        *,
        state: StateStore | None = None,
        write_deadline_s: float = 10.0,
        keeps_house: Callable[[], Awaitable[bool]] | None = None,
        bumped: Callable[[], Sequence[Selector]] = list,
        round_s: float | None = ROUND_S,
        clock: Callable[[], float] = time,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self.owed = Owed(store, breaker, write_deadline_s, timer=timer)
        self._store = store
        self._eviction = eviction
        self._breaker = breaker
        self._state = state
        self._keeps_house = keeps_house
        self._bumped = bumped
        self._round_s = round_s
        self._clock = clock
        self._timer = timer
        self._known: set[str] = set()
        self._mine = False
        self._gathered = Gathered()
        self._adoption: Adoption | None = None
        self._adopted_s = self._tried_s = self._asked_s = self._swept_s = self._saved_s = float("-inf")
        self._pause_s = SNAPSHOT_S
        self._sweeps: list[Walk] = []
        self._swept: dict[Selector, None] = {}
        self._busy = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin the rounds, whether the store can be opened or not: it may come back."""
        if self._round_s is not None and self._task is None:
            self._task = asyncio.create_task(self._rounds(self._round_s), name="forebay-house")

    async def start(self) -> None:
        """Tell the eviction policy what the store holds, as far as that is quick; the rounds go on with it.

        Raises:
            StoreError, TimeoutError: the store cannot be listed; it is tried again later.
        """
        if await self._is_mine():
            async with self._busy:
                await self._adopt(START_S)
                await self.owed.pay(MOST_DELETED, START_S)

    async def stop(self) -> None:
        """End the rounds; what the eviction policy learned is kept for the next start, or told to others."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for walk in self._walks():
            await walk.close()
        self._adoption, self._sweeps = None, []
        if self._state is not None and self._adopted:
            self._state.save(SNAPSHOT, self._snapshot())
        try:
            await self._tell()
        except (ForebayError, TimeoutError) as error:
            log.info("what was served is not told: %s", type(error).__name__)

    def owe(self, entry_id: str) -> None:
        """Let an entry be deleted that may have been written and must not be there."""
        self.removed([entry_id])
        self.owed.note([entry_id])

    async def pay(self) -> None:
        """Delete what is owed, now, within a write's budget.

        Raises:
            StoreError, TimeoutError, OpenError: the store failed; it stays owed.
        """
        await self.owed.pay(MOST_DELETED, BUDGET_S)

    def kept(self, entry_id: str) -> None:
        """Note that an entry was written, while `Owed.writing` holds; `added` follows."""
        self.owed.kept(entry_id)
        self._changed(entry_id)

    async def added(self, entry: Entry, worth: float) -> list[Evicted]:
        """Note a kept entry, drop what no longer fits, and return what was dropped since the last time."""
        now = self._clock()
        await self._adopt_late(now)
        kept = Kept(entry.id, entry.size_bytes, entry.cost * worth, now)
        if self._adoption is not None:
            self._adoption.meanwhile[entry.id] = kept
        elif self._tells:
            self._gathered.kept(kept)
        else:
            self._add(kept)
        try:
            await self.owed.pay(MOST_DELETED, BUDGET_S)
            if len(self._gathered) >= MOST_IDS:
                await self._tell()
            if now - self._swept_s >= SWEEP_S and not self._busy.locked() and await self._is_mine():
                async with self._busy:
                    await self._sweep(now, self._timer() + BUDGET_S)
        except (ForebayError, TimeoutError) as error:  # the entry is kept all the same
            log.info("making room failed: %s", type(error).__name__)
        return self.owed.told()

    def touched(self, entry_id: str) -> None:
        """Note that an entry was served."""
        if self._tells:
            self._gathered.served(entry_id, self._clock())
        else:
            self._eviction.touched(entry_id, self._clock())

    def removed(self, entry_ids: Iterable[str]) -> None:
        """Note that entries are gone."""
        for entry_id in entry_ids:
            self._eviction.removed(entry_id)
            self._known.discard(entry_id)
            self._gathered.removed(entry_id)
            self._changed(entry_id)
            if self._adoption is not None:
                self._adoption.meanwhile.pop(entry_id, None)

    async def round(self) -> bool:
        """Do what is to be done, within a budget; return whether there is more.

        Raises:
            ForebayError, TimeoutError: the store failed; the next round tries again.
        """
        async with self._busy:
            now, ends_s = self._clock(), self._timer() + BUDGET_S
            if await self._is_mine():
                if self._adoption is not None or not self._adopted or self._to_reconcile(now):
                    if self._adoption is not None or now - self._tried_s >= SWEEP_S:
                        await self._adopt(BUDGET_S)
                else:
                    await self._hear()
                    if self._sweeps or now - self._swept_s >= SWEEP_S:
                        await self._sweep(now, ends_s)
                await self.owed.pay(MOST_DELETED, max(0.0, ends_s - self._timer()))
                await self._save(now)
            else:
                await self._tell()
                await self.owed.pay(MOST_DELETED, BUDGET_S)  # what this process owes nobody else knows of
        return bool(self._sweeps or self._adoption is not None or len(self.owed))

    async def _rounds(self, round_s: float) -> None:
        pressed = False
        while True:
            await asyncio.sleep(min(PRESSED_S, round_s) if pressed else round_s)
            try:
                pressed = await self.round()
            except Exception as error:  # whatever a store raises, the next round may go well
                pressed = False
                log.info("keeping house failed: %s", type(error).__name__)

    @property
    def _adopted(self) -> bool:
        return self._adopted_s > float("-inf")

    @property
    def _shared(self) -> bool:
        return isinstance(self._store, Placed) and self._store.shared

    @property
    def _tells(self) -> bool:
        """Whether another process decides, and is told."""
        return not self._mine and self._recorder() is not None

    def _recorder(self) -> Recording | None:
        store = self._store
        return store if self._shared and isinstance(store, Recording) and store.recording else None

    async def _is_mine(self) -> bool:
        """Return whether this process keeps house in the store: always, where it is the only one that uses it."""
        self._mine = self._keeps_house is None or not self._shared or await self._keeps_house()
        return self._mine

    def _to_reconcile(self, now: float) -> bool:
        return self._recorder() is not None and now - self._adopted_s >= RECONCILE_S

    def _walks(self) -> list[Walk]:
        return [*self._sweeps, *([self._adoption.walk] if self._adoption is not None else [])]

    def _changed(self, entry_id: str) -> None:
        for walk in self._walks():
            walk.changed.add(entry_id)

    def _add(self, kept: Kept) -> None:
        if kept.id in self.owed:
            return
        victims = self._eviction.added(kept.id, kept.size_bytes, kept.cost, kept.at_s)
        self._known.add(kept.id)
        self._known.difference_update(victims)
        self.owed.note(victims, "capacity")

    async def _adopt(self, time_s: float) -> None:
        """Tell the eviction policy what the store holds; also after a store that was down at start came back."""
        now, store = self._clock(), self._store
        self._tried_s = now
        if self._adoption is None:
            since_s = self._adopted_s
            if not self._adopted:
                saved = restored(self._eviction, self._state.load(SNAPSHOT) if self._state is not None else None)
                if saved is not None:
                    self._known, since_s = saved
            if not isinstance(store, Scannable):
                self._adopted_s = now
                return
            self._adoption = Adoption(Walk(store, Selector(), self._breaker), now, since_s)
        adoption = self._adoption
        try:
            await adoption.walk.pull(adoption.see, self._timer() + time_s, self._timer)
            if adoption.walk.ended:
                self.removed(adoption.gone(self._known))
                await adoption.feed(self._known, self._add)
                self._adopted_s = adoption.began_s
        finally:
            if adoption.walk.ended:
                self._adoption = None
                for kept in adoption.meanwhile.values():
                    self._add(kept)

    async def _adopt_late(self, now: float) -> None:
        """Adopt where the start could not: by one writer, and seldom, since it reads the whole store."""
        if self._adopted or self._adoption is not None or self._busy.locked():
            return
        if now - max(self._tried_s, self._asked_s) < SWEEP_S:
            return
        self._asked_s = now
        if not await self._is_mine():
            return
        try:
            async with self._busy:
                await self._adopt(START_S)
        except (ForebayError, TimeoutError) as error:
            log.info("the store's entries cannot be listed: %s", type(error).__name__)

    async def _sweep(self, now: float, ends_s: float) -> None:
        """Let what has expired be deleted, and what earlier epochs have: no store here does it by itself."""
        store = self._store
        if not self._sweeps:
            self._swept_s = now
            if not isinstance(store, Scannable):
                return
            bumped = [selector for selector in self._bumped() if selector not in self._swept]
            wanted = [Selector(expired_at_s=now), *bumped[:SWEPT_AT_ONCE]]
            self._sweeps = [Walk(store, selector, self._breaker) for selector in wanted]
        while self._sweeps:
            walk = self._sweeps[0]
            gone: list[str] = []
            try:
                await walk.pull(lambda entry, gone=gone: gone.append(entry.id), ends_s, self._timer)  # type: ignore[misc]
            finally:
                if walk.ended:
                    self._sweeps.pop(0)
            doomed = [name for name in gone if name not in walk.changed]
            self.removed(doomed)
            self.owed.note(doomed, "expired" if walk.selector.epoch is None else "invalidated")
            if walk.ended and walk.selector.epoch is not None:
                self._swept[walk.selector] = None
                if len(self._swept) > SWEPT_KEPT:
                    del self._swept[next(iter(self._swept))]
            if self._timer() >= ends_s:
                break
        await self.owed.pay(MOST_DELETED, max(0.0, ends_s - self._timer()))

    async def _tell(self) -> None:
        """Write what was gathered, where another process decides; a batch that fails is lost."""
        recorder = self._recorder()
        while self._tells and recorder is not None and (batch := self._gathered.take()) is not None:
            await self._breaker.call(lambda batch=batch: recorder.record(batch), self.owed.deadline_s)  # type: ignore[misc]

    async def _hear(self) -> None:
        """Take what others tell, and what this process gathered before it kept house."""
        recorder = self._recorder()
        if recorder is None:
            return
        batches: list[Batch] = list(await self._breaker.call(lambda: recorder.take(MOST_TAKEN), self.owed.deadline_s))
        while (own := self._gathered.take()) is not None:
            batches.append(own)
        for told in in_order(batches):
            if isinstance(told, Kept):
                # of before the store was read: what is not known since is gone
                if told.id in self._known or (told.at_s >= self._adopted_s and told.id not in self.owed):
                    self._add(told)
            elif told.id in self._known:
                for _ in range(min(told.count, MOST_TOUCHES)):
                    self._eviction.touched(told.id, told.at_s)

    def _snapshot(self) -> dict[str, object]:
        return {"saved_s": self._clock(), "policy": dict(self._eviction.snapshot()), "ids": list(self._known)}

    async def _save(self, now: float) -> None:
        """Keep the eviction policy's memory, now and then."""
        if self._state is None or not self._adopted or now - self._saved_s < self._pause_s:
            return
        began_s, self._saved_s = self._timer(), now
        await asyncio.to_thread(self._state.save, SNAPSHOT, self._snapshot())
        self._pause_s = max(SNAPSHOT_S, SNAPSHOT_SHARE * (self._timer() - began_s))
