"""The admit stop: a bounded queue in front of the engine, and leases.

An `Ordering` says who is next and a `Limit` how much may be inside; the gate only keeps the books. A lease
is given back exactly once, whoever gives it back first. Where one of the two raises, all who wait get its
error instead of a lease: nobody is held back by a queue that no longer works.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING

from .errors import ShedError
from .protocols import Divisible
from .records import Load, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocols import Limit, Ordering


class Lease:
    """The right to be inside the engine."""

    __slots__ = ("_give_back", "waited_s")

    def __init__(self, give_back: Callable[[], None], waited_s: float) -> None:
        self._give_back: Callable[[], None] | None = give_back
        self.waited_s = waited_s

    def release(self) -> None:
        """Give it back; later calls do nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class Gate:
    """Queue and limit of one engine or deployment. Belongs to one event loop.

    Args:
        max_queue: waiting requests beyond which new ones are refused.

    Attributes:
        bound: this worker's part of the limit, None for all of it; change it with `set_bound`.
    """

    def __init__(
        self, ordering: Ordering, limit: Limit, *, max_queue: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ordering = ordering
        self._limit = limit
        self._max_queue = max_queue
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[Exception | None]] = {}
        self._inside: dict[str, Ticket] = {}
        self._tokens = 0
        self.bound: int | None = None

    @property
    def places(self) -> int | None:
        """How many requests the limit lets in, None where it is not such a number."""
        return self._limit.places if isinstance(self._limit, Divisible) else None

    @property
    def idle(self) -> bool:
        """Whether nobody is inside or waits."""
        return not self._inside and not self._waiting

    @property
    def load(self) -> Load:
        """What is inside and what waits."""
        return Load(inflight=len(self._inside), queued=len(self._waiting), inflight_tokens=self._tokens)

    def check_room(self, ticket: Ticket) -> None:
        """Refuse now what could not even wait.

        Raises:
            ShedError: the queue is full.
        """
        if not self.has_room(ticket):
            raise ShedError("queue_full", status=429, retry_after_s=1)

    def has_room(self, ticket: Ticket) -> bool:
        """Return whether a ticket that came now would be let in or could wait."""
        return not self.would_wait(ticket) or len(self._waiting) < self._max_queue

    def set_bound(self, bound: int | None) -> None:
        """Let at most so many in, whatever the limit says; those who are inside stay."""
        self.bound = bound
        self._admit()

    async def acquire(self, ticket: Ticket, timeout_s: float) -> Lease:
        """Wait for a lease; being cancelled takes the ticket out of the queue.

        Args:
            ticket: its id must be unique among those waiting or inside.
            timeout_s: longest wait in seconds.

        Raises:
            ShedError: the queue is full, or the wait took too long.
            Exception: whatever a broken ordering or limit raised.
        """
        self.check_room(ticket)
        arrived = self._clock()
        if self.would_wait(ticket):
            future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            self._waiting[ticket.id] = future
            try:
                self._ordering.push(ticket)
                self._admit()  # the limit may have changed its mind since the last release
                async with asyncio.timeout(timeout_s):
                    broken = await future
                if broken is not None:
                    raise broken
            except BaseException as error:
                self._leave(ticket, future)
                if isinstance(error, TimeoutError):
                    raise ShedError("queue_timeout", status=429, retry_after_s=max(1, int(timeout_s / 2))) from None
                raise
        else:
            self._enter(ticket)
        return Lease(lambda: self._exit(ticket.id), self._clock() - arrived)

    def would_wait(self, ticket: Ticket) -> bool:
        """Return whether a ticket that came now would have to wait."""
        return bool(self._waiting) or not self._fits(ticket)

    def _fits(self, ticket: Ticket) -> bool:
        bounded = self.bound is not None and len(self._inside) >= self.bound
        return not bounded and self._limit.admits(ticket, self.load)

    def _enter(self, ticket: Ticket) -> None:
        self._inside[ticket.id] = ticket
        self._tokens += ticket.input_tokens

    def _exit(self, ticket_id: str) -> None:
        ticket = self._inside.pop(ticket_id, None)
        if ticket is not None:
            self._tokens -= ticket.input_tokens
            self._admit()

    def _leave(self, ticket: Ticket, future: asyncio.Future[Exception | None]) -> None:
        self._waiting.pop(ticket.id, None)
        if future.done() and not future.cancelled() and future.result() is None:
            self._exit(ticket.id)  # let in at the very moment its caller left
            return
        with contextlib.suppress(Exception):  # the caller's own reason to leave must not be lost
            self._ordering.remove(ticket.id)
        self._admit()  # who stood behind it may fit

    def _admit(self) -> None:
        try:
            while self._waiting:
                ticket = self._ordering.peek(self._clock())
                if ticket is None or not self._fits(ticket):
                    return
                gone = self._ordering.remove(ticket.id)
                future = self._waiting.pop(ticket.id, None)
                if future is not None and not future.done():
                    self._enter(ticket)
                    future.set_result(None)
                elif not gone:
                    return  # an ordering that offers what it cannot remove would be asked for ever
        except Exception as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(error)
            self._waiting.clear()
