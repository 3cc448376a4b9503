"""Entries that are to be deleted: not served from now on, and deleted in batches within a budget."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Final

from .accesses import BatchDeleting
from .events import Evicted
from .records import Selector

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from .breaker import Breaker
    from .protocols import Store

AT_ONCE: Final = 100
"""Entries deleted in one call."""
MOST_TOLD: Final = 10_000
"""Deleted entries of which observers have not been told yet; of older ones they are not."""


class Owed:
    """What is to be deleted, and why. No entry is deleted while it is written, nor written while it is deleted.

    Args:
        deadline_s: longest single deletion.
    """

    def __init__(
        self, store: Store, breaker: Breaker, deadline_s: float, *, timer: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._breaker = breaker
        self.deadline_s = deadline_s
        self._timer = timer
        self._owed: dict[str, str] = {}
        self._writing: Counter[str] = Counter()
        self._deleting: dict[str, asyncio.Event] = {}
        self._gone: deque[Evicted] = deque(maxlen=MOST_TOLD)

    def __contains__(self, entry_id: str) -> bool:
        """Return whether an entry is to be deleted: it must not be served."""
        return entry_id in self._owed

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._owed)

    def note(self, entry_ids: Iterable[str], reason: str = "") -> None:
        """Let entries be deleted.

        Args:
            reason: what observers are told, "" for nothing.
        """
        self._owed.update(dict.fromkeys(entry_ids, reason))

    def kept(self, entry_id: str) -> None:
        """Note that an entry was kept anew: it is not to be deleted any more."""
        self._owed.pop(entry_id, None)

    @asynccontextmanager
    async def writing(self, entry_id: str) -> AsyncGenerator[None]:
        """Keep an entry from being deleted from here while it is written."""
        while (deleted := self._deleting.get(entry_id)) is not None:
            await deleted.wait()
        self._writing[entry_id] += 1
        try:
            yield
        finally:
            self._writing[entry_id] -= 1
            if not self._writing[entry_id]:
                del self._writing[entry_id]

    async def pay(self, most: int, time_s: float) -> None:
        """Delete what is owed, so many at most and, but for the first, so long; what fails stays owed.

        Raises:
            StoreError, TimeoutError, OpenError: the store failed.
        """
        ends_s = self._timer() + time_s
        while most > 0:
            free = (name for name in self._owed if name not in self._writing and name not in self._deleting)
            names = list(islice(free, min(most, AT_ONCE)))
            if not names:
                return
            deleted = asyncio.Event()
            self._deleting.update(dict.fromkeys(names, deleted))
            try:
                await self._breaker.call(lambda names=names: self._delete(names), self.deadline_s)  # type: ignore[misc]
            finally:
                for name in names:
                    del self._deleting[name]
                deleted.set()
            for name in names:
                reason = self._owed.pop(name, "")
                if reason:
                    self._gone.append(Evicted(name, reason))
            most -= len(names)
            if self._timer() >= ends_s:
                return

    def told(self) -> list[Evicted]:
        """Return what was deleted since this was asked last."""
        gone = list(self._gone)
        self._gone.clear()
        return gone

    async def _delete(self, names: Sequence[str]) -> None:
        store = self._store
        if len(names) > 1 and isinstance(store, BatchDeleting):
            await store.delete_many(names)
            return
        for name in names:
            await store.delete(Selector(id=name))
