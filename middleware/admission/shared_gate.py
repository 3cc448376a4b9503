"""A gate whose places all workers share.

The worker's own gate keeps the order and lets in, beside those who hold one of the shared places, one who
competes for the next. So whoever is first here competes, and the queue behind it is bounded. While the
workers cannot agree, each lets in its part of the limit, as it would without coordination.
"""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import CoordinationError, ShedError
from .gate import Gate, Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ..coordination import Roster
    from ..protocols import Coordination
    from .protocols import Limit, Ordering, Shedding
    from .tickets import Ticket

_numbers = itertools.count(1)
_ANY: Final = 1 << 31
"""Places enough for a request that is inside already."""


class SharedGate(Gate):
    """Queue and limit of one engine, the limit shared with other workers. Belongs to one event loop.

    Args:
        name: the same in all workers.
        places: of the limit; all workers must name the same number.
        max_queue: waiting requests of this worker beyond which new ones are refused.
    """

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        places: int,
        coordination: Coordination,
        ordering: Ordering,
        limit: Limit,
        shedding: Shedding | None = None,
        *,
        max_queue: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(ordering, limit, shedding, max_queue=max_queue, clock=clock)
        self._name = name
        self._total = places
        self._coordination = coordination
        self._max_waiting = max_queue
        self._held: dict[str, bool] = {}  # who is inside, and whether it holds a shared place
        self._moved = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rebound()

    async def acquire(self, ticket: Ticket, timeout_s: float) -> Lease:
        """Wait for a lease, in the queue here and then for a shared place; see `Gate.acquire`."""
        ends = self.clock() + timeout_s
        lease = await super().acquire(ticket, timeout_s)
        member = str(next(_numbers))
        try:
            claimed = await self._compete(member, ends if self._max_waiting else self.clock(), timeout_s)
        except BaseException:
            lease.release()
            raise
        self._held[member] = claimed
        self._rebound()
        lease.extend(self.clock(), lambda: self._unclaim(member))
        return lease

    def resume(self, roster: Roster) -> None:
        """Share or divide, as the roster now says. Those inside without a shared place take one, wanted or not."""
        if roster.shared:
            for member, claimed in list(self._held.items()):
                if not claimed:
                    self._held[member] = True
                    self._soon(self._adopt(member))
        self._rebound()
        self._moved.set()

    async def _compete(self, member: str, ends: float, timeout_s: float) -> bool:
        """Return whether a shared place was taken; False where this worker's part of the limit let the ticket in."""
        while True:
            left_s = max(0.0, ends - self.clock())
            roster = self._coordination.roster()
            if roster.shared:
                try:
                    claimed = await self._coordination.claim(self._name, member, self._total, left_s)
                except CoordinationError:
                    if not self._coordination.roster().shared:
                        self._rebound()
                        continue
                    return False  # it says yes and does no: nobody is held back by that
                if claimed.granted:
                    return True
            elif len(self._held) < roster.part_of(self._total):
                return False
            elif left_s > 0:
                self._moved.clear()
                try:
                    async with asyncio.timeout(left_s):
                        await self._moved.wait()
                except TimeoutError:
                    pass
                else:
                    continue
            if not self._max_waiting:
                raise ShedError("queue_full", status=429, retry_after_s=1)
            raise ShedError("queue_timeout", status=429, retry_after_s=max(1, int(timeout_s / 2)))

    def give_back(self, lease: Lease) -> None:
        """Note that a lease's holder has left; called by the lease."""
        super().give_back(lease)
        self._rebound()
        self._moved.set()

    def _unclaim(self, member: str) -> None:
        if self._held.pop(member, False):
            self._soon(self._coordination.release(self._name, member))

    async def _adopt(self, member: str) -> None:
        try:
            await self._coordination.claim(self._name, member, _ANY, 0.0)
        except CoordinationError:  # it went down again: the next time
            if member in self._held:
                self._held[member] = False
            return
        if member not in self._held:  # it left meanwhile
            await self._coordination.release(self._name, member)

    def _rebound(self) -> None:
        roster = self._coordination.roster()
        self.set_bound(len(self._held) + 1 if roster.shared else max(1, roster.part_of(self._total)))

    def _soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
