"""Runs an engine that wants whole batches: collects members, asks the batch former, hands each its own result."""

from __future__ import annotations

import asyncio
import contextlib
import math
from contextvars import Context
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from ..errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .protocols import BatchFormer
    from .tickets import Ticket

Work = TypeVar("Work")
Result = TypeVar("Result")

Run: TypeAlias = "Callable[[Sequence[Work]], Awaitable[Sequence[Result | Exception]]]"
"""Computes a batch: one result a member, in order, or the error of that member alone."""

_MOST_FAILURES: Final = 2
_STOPPED: Final = "the queue of batches was stopped"


@dataclass(eq=False, slots=True)
class _Member(Generic[Work, Result]):
    ticket: Ticket
    work: Work
    future: asyncio.Future[Result]


class Batches(Generic[Work, Result]):
    """The queue in front of an engine that takes one batch after another. Belongs to one event loop.

    A member whose caller is cancelled leaves the queue at once; one that is in a batch already stays in it, and its result is dropped: the others
    never notice. A batch that fails as a whole is run again in halves, down to single members, so that one member does not fail the others. Where two
    members have failed alone one after the other and none has succeeded, it is the engine: the rest of that batch fails with the last error and is
    not tried.

    A former that raises, loses members or names no moment to ask again does not hold anybody up: the oldest member is run on its own.

    Args:
        former: which members make a batch. It learns from batches that came to an end at the first try without an error.
        run: computes a batch.
        output_tokens: returns the tokens of a member's answer, so that the former learns from what was, not from what was predicted.
        name: of the task, for debuggers.
    """

    def __init__(
        self,
        former: BatchFormer,
        run: Run[Work, Result],
        *,
        output_tokens: Callable[[Result], float] | None = None,
        clock: Callable[[], float] = monotonic,
        name: str = "forebay-batches",
    ) -> None:
        self._former = former
        self._run = run
        self._output_tokens = output_tokens
        self._clock = clock
        self._name = name
        self._waiting: dict[str, _Member[Work, Result]] = {}
        self._running: Sequence[_Member[Work, Result]] = ()
        self._changed = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._stopped = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    async def submit(self, ticket: Ticket, work: Work) -> Result:
        """Wait for a batch with this member in it, and return its result.

        Args:
            ticket: with an id that no waiting member has.

        Raises:
            EngineError: the queue was stopped, or the engine answered with another number of results.
            Exception: what the engine raised for this member.
        """
        if self._stopped:
            raise EngineError(_STOPPED)
        if ticket.id in self._waiting:
            raise ValueError("a member with this id is waiting already; give each an id of its own")
        loop = asyncio.get_running_loop()
        member = _Member[Work, Result](ticket, work, loop.create_future())
        self._waiting[ticket.id] = member
        with contextlib.suppress(Exception):  # who is not in a broken former is run all the same
            self._former.push(ticket)
        self._changed.set()
        if self._worker is None:
            # in a context of its own: a batch is not part of the trace of whoever came first
            self._worker = loop.create_task(self._work(), name=self._name, context=Context())
        try:
            return await member.future
        finally:
            if self._waiting.get(ticket.id) is member:  # cancelled
                self._forget(ticket.id)

    async def stop(self) -> None:
        """Cancel the batch that runs, fail what waits, and take no more."""
        self._stopped = True
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        left = [*self._running, *self._waiting.values()]
        self._running = ()
        for ticket_id in list(self._waiting):
            self._forget(ticket_id)
        _fail(left, EngineError(_STOPPED))

    async def _work(self) -> None:
        """Run batches until nobody waits."""
        try:
            while self._waiting:
                self._changed.clear()
                members, ask_again_s = self._formed()
                if members:
                    self._running = members
                    await self._served(members)
                    self._running = ()
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, ask_again_s - self._clock())):
                        await self._changed.wait()
        finally:
            if self._worker is asyncio.current_task():
                self._worker = None

    def _formed(self) -> tuple[list[_Member[Work, Result]], float]:
        """Take out and return the next batch, or nobody and when to ask again."""
        now_s = self._clock()
        with contextlib.suppress(Exception):
            formed = self._former.form(now_s)
            members = [self._waiting.pop(each.id) for each in formed.members if each.id in self._waiting]
            if members:
                return members, now_s
            if not formed.members and now_s < formed.ask_again_s < math.inf:
                return [], formed.ask_again_s
        oldest = next(iter(self._waiting))
        member = self._waiting[oldest]
        self._forget(oldest)
        return [member], now_s

    def _forget(self, ticket_id: str) -> None:
        self._waiting.pop(ticket_id, None)
        with contextlib.suppress(Exception):
            self._former.remove(ticket_id)
        self._changed.set()

    async def _served(self, members: Sequence[_Member[Work, Result]]) -> None:
        """Run a batch, and parts of it where it fails."""
        parts = [members]
        failures = 0
        succeeded = False
        while parts:
            part = [member for member in parts.pop() if not member.future.done()]
            if not part:
                continue
            started_s = self._clock()
            try:
                results = await self._run([member.work for member in part])
                if len(results) != len(part):
                    raise EngineError(f"the engine answered with {len(results)} results for {len(part)} members")
            except Exception as error:
                if len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                    continue
                _fail(part, error)
                failures += 1
                if failures >= _MOST_FAILURES and not succeeded:
                    _fail([member for rest in parts for member in rest], error)
                    return
                continue
            succeeded = True
            if len(part) == len(members) and not any(isinstance(result, Exception) for result in results):
                self._learn(part, results, self._clock() - started_s)
            for member, result in zip(part, results, strict=True):
                if isinstance(result, Exception):
                    _fail([member], result)
                elif not member.future.done():
                    member.future.set_result(result)

    def _learn(
        self, members: Sequence[_Member[Work, Result]], results: Sequence[Result | Exception], seconds: float
    ) -> None:
        with contextlib.suppress(Exception):  # a former that cannot learn costs speed, not answers
            tickets = [member.ticket for member in members]
            count = self._output_tokens
            if count is not None:
                tickets = [
                    replace(ticket, output_tokens=float(count(result) or ticket.output_tokens))
                    for ticket, result in zip(tickets, results, strict=True)
                    if not isinstance(result, Exception)
                ]
            self._former.measured(tickets, seconds)


def _fail(members: Sequence[_Member[Work, Result]], error: Exception) -> None:
    for member in members:
        if not member.future.done():
            member.future.set_exception(error)
