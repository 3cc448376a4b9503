"""The admit stop: a bounded queue in front of the engine, and leases.

`AdmissionQueue` keeps the books; the gate lets callers wait for their turn. A lease is given back exactly once, whoever
gives it back first. Where a policy raises, all who wait get its error instead of a lease: nobody is held back by a queue
that no longer works.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import ShedError
from .protocols import Divisible
from .queue import AdmissionQueue
from .tickets import Refusal, Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocols import Limit, Ordering, Shedding
    from .tickets import Load, Ticket
    from .usage import Usage


class Lease:
    """The right to be inside the engine.

    Attributes:
        waited_s: how long its holder waited for it.
    """

    __slots__ = ("_gate", "_left", "_then", "_told", "entered_s", "first_token_s", "ticket", "waited_s")

    def __init__(self, gate: Gate, ticket: Ticket, entered_s: float, waited_s: float) -> None:
        self._gate = gate
        self._left: float | None = None
        self._then: Callable[[], None] | None = None
        self._told = False
        self.ticket = ticket
        self.entered_s = entered_s
        self.first_token_s: float | None = None
        self.waited_s = waited_s

    @property
    def held(self) -> bool:
        """Whether it has not been given back."""
        return self._left is None

    def extend(self, now_s: float, then: Callable[[], None]) -> None:
        """Hold something else, too, that had to be waited for until now; `then` gives it back."""
        self.waited_s += now_s - self.entered_s
        self.entered_s = now_s
        self._then = then

    def first_token(self) -> None:
        """Note the first piece of a stream."""
        if self.held and self.first_token_s is None:
            self.first_token_s = self._gate.clock()
            self._gate.first_token(self)

    def release(self) -> None:
        """Give it back; later calls do nothing."""
        if self.held:
            self._left = self._gate.clock()
            if self._then is not None:
                self._then()
            self._gate.give_back(self)

    def learn(self, *, input_tokens: int, output_tokens: int, complete: bool) -> None:
        """Tell the policies what it was used for; later calls do nothing. Gives it back, too."""
        self.release()
        if not self._told:
            self._told = True
            left_s = self.entered_s if self._left is None else self._left
            times = (self.entered_s, self.first_token_s, left_s)
            self._gate.learn(Served(self.ticket, *times, input_tokens, output_tokens, complete))


class Gate:
    """Queue and limit of one engine or deployment. Belongs to one event loop.

    Args:
        shedding: who is refused beyond `max_queue`.
        max_queue: waiting requests beyond which new ones are refused.
    """

    def __init__(
        self,
        ordering: Ordering,
        limit: Limit,
        shedding: Shedding | None = None,
        *,
        max_queue: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._queue = AdmissionQueue(ordering, limit, shedding, max_queue=max_queue)
        self._divisible = limit if isinstance(limit, Divisible) else None
        self.clock = clock
        self._futures: dict[str, asyncio.Future[Exception | None]] = {}
        self._waker: asyncio.TimerHandle | None = None
        self._wakes_s = math.inf

    @property
    def places(self) -> int | None:
        """How many requests the limit lets in, None where it is not such a number."""
        return self._divisible.places if self._divisible is not None else None

    @property
    def idle(self) -> bool:
        """Whether nobody is inside or waits."""
        return not self._queue.inside and not self._futures

    @property
    def load(self) -> Load:
        """What is inside and what waits."""
        return self._queue.load(self.clock())

    @property
    def usage(self) -> Usage:
        """How well the engine was used so far."""
        return self._queue.usage

    @property
    def bound(self) -> int | None:
        """This worker's part of the limit, None for all of it."""
        return self._queue.bound

    def set_bound(self, bound: int | None) -> None:
        """Let at most so many in, whatever the limit says; those who are inside stay."""
        self._queue.bound = bound
        self._admit()

    def check_room(self, ticket: Ticket) -> None:
        """Refuse now what could not even wait.

        Raises:
            ShedError: the queue is full, or the shedding policy refuses it.
        """
        refused = self._queue.refusal(ticket, self.clock())
        if refused is not None:
            raise _shed(refused)

    def has_room(self, ticket: Ticket) -> bool:
        """Return whether a ticket that came now would be let in or could wait."""
        return self._queue.refusal(ticket, self.clock()) is None

    async def acquire(self, ticket: Ticket, timeout_s: float) -> Lease:
        """Wait for a lease; being cancelled takes the ticket out of the queue.

        Args:
            ticket: its id must be unique among those waiting or inside.
            timeout_s: longest wait in seconds.

        Raises:
            ShedError: the queue is full, the shedding policy refuses it, or the wait took too long.
            Exception: whatever a broken policy raised.
        """
        arrived = self.clock()
        place, gone = self._queue.arrive(ticket, arrived)
        for victim, refusal in gone:
            self._refuse(victim.id, refusal)
        if isinstance(place, Refusal):
            raise _shed(place)
        if self._queue.waits(ticket.id):
            await self._wait(ticket, timeout_s)
        now = self.clock()
        return Lease(self, ticket, now, now - arrived)

    def would_wait(self, ticket: Ticket) -> bool:
        """Return whether a ticket that came now would have to wait."""
        return self._queue.would_wait(ticket, self.clock())

    def first_token(self, lease: Lease) -> None:
        """Note a lease's first token; called by the lease."""
        try:
            self._queue.first_token(lease.ticket.id, self.clock())
        except Exception as error:  # as in `_admit`
            self._break(error)
        self._admit()

    def give_back(self, lease: Lease) -> None:
        """Note that a lease's holder has left; called by the lease."""
        if self._queue.exit(lease.ticket.id, self.clock()):
            self._admit()

    def learn(self, served: Served) -> None:
        """Tell the policies what became of one; called by the lease.

        Raises:
            Exception: whatever a broken policy raised; nobody is held back by it.
        """
        try:
            self._queue.learn(served)
        finally:
            self._admit()

    async def _wait(self, ticket: Ticket, timeout_s: float) -> None:
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._futures[ticket.id] = future
        try:
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

    def _leave(self, ticket: Ticket, future: asyncio.Future[Exception | None]) -> None:
        self._futures.pop(ticket.id, None)
        now = self.clock()
        if future.done() and not future.cancelled() and future.result() is None:
            self._queue.exit(ticket.id, now)  # let in at the very moment its caller left
        else:
            self._queue.leave(ticket.id, now)  # who stood behind it may fit
        self._admit()

    def _admit(self) -> None:
        now = self.clock()
        try:
            for ticket, refusal in self._queue.put_out(now):
                self._refuse(ticket.id, refusal)
            while (admitted := self._queue.admit(now)) is not None:
                future = self._futures.pop(admitted.id, None)
                if future is None or future.done():
                    self._queue.exit(admitted.id, now)
                else:
                    future.set_result(None)
        except Exception as error:
            self._break(error)
        self._wake()

    def _refuse(self, ticket_id: str, refusal: Refusal) -> None:
        future = self._futures.pop(ticket_id, None)
        if future is not None and not future.done():
            future.set_result(_shed(refusal))

    def _break(self, error: Exception) -> None:
        for future in self._futures.values():
            if not future.done():
                future.set_result(error)
        self._futures.clear()
        self._queue.clear(self.clock())

    def _wake(self) -> None:
        """Come back when the next one will have waited too long."""
        due_s = self._queue.next_late_s()
        if due_s == self._wakes_s:
            return
        if self._waker is not None:
            self._waker.cancel()
        self._waker, self._wakes_s = None, due_s
        if due_s < math.inf:
            self._waker = asyncio.get_running_loop().call_later(max(0.0, due_s - self.clock()), self._woken)

    def _woken(self) -> None:
        self._waker, self._wakes_s = None, math.inf
        self._admit()


def _shed(refusal: Refusal) -> ShedError:
    return ShedError(refusal.reason, status=refusal.status, retry_after_s=math.ceil(refusal.retry_after_s))
