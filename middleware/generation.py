"""A call of an engine while it goes on, and the equal requests that read it live.

Its leader reads it directly. As soon as a twin comes, a task of its own reads it instead, for all of them: from then on it
belongs to nobody, each reads at its own pace from the beginning, and who leaves takes nothing from the others. The last one
who leaves stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from .flight import Flight
    from .records import Answer

T = TypeVar("T")


class Source(Protocol[T]):
    """One call of an engine that has not begun.

    Attributes:
        form: calls whose pieces look the same have the same; None where nobody else may read them.
        whole: there is one piece, at the end.
        latest: each piece says all that was said before.
    """

    form: str | None
    whole: bool
    latest: bool

    def open(self, headers: Mapping[str, str]) -> AsyncGenerator[T, None]:
        """Begin the call; closing what this returns stops the engine."""
        ...

    def add(self, piece: T) -> bool:
        """Take note of a piece; return whether it brings output. What it raises leaves the answer unkept."""
        ...

    def answer(self) -> Answer | None:
        """Return what was computed, None where it is nothing that could be kept."""
        ...


class LeaderFailedError(Exception):
    """The call that a twin read failed (`cause`), or was stopped before the twin had begun (None)."""

    def __init__(self, cause: Exception | None) -> None:
        super().__init__("the call that this one followed failed")
        self.cause = cause


class Generation(Generic[T]):
    """One call and its readers. Belongs to one event loop.

    Args:
        source: what was called.
        pieces: the call.
        owner: the flight that pays: it has the lease, and keeps the answer.
        took: called with each piece, once.
        ended: called once, when the call is over: with what it raised, None for a clean end.
        passed: called with the old and the new owner.

    Attributes:
        owner: see above; another one after the first has left.
        answer: what was computed, where it could be kept; None before the end.
        opened: called when twins may read it, from then on.
    """

    def __init__(
        self,
        source: Source[T],
        pieces: AsyncGenerator[T, None],
        owner: Flight,
        *,
        took: Callable[[T], None],
        ended: Callable[[Exception | None], None],
        passed: Callable[[Flight, Flight], None],
    ) -> None:
        self.form = source.form
        self.owner = owner
        self.answer: Answer | None = None
        self.opened: Callable[[], None] | None = None
        self._latest = source.latest
        self._pieces = pieces
        self._took, self._ended, self._passed = took, ended, passed
        self._kept: list[T] = []
        self._count = 0
        self._readers: dict[str, Flight] = {owner.request.id: owner}
        self._waiters: set[asyncio.Future[None]] = set()
        self._wanted = (
            source.whole and source.form is not None
        )  # a leader that waits for all of it could hand nothing over
        self._stepping = True
        self._pump: asyncio.Task[None] | None = None
        self._over = False
        self._clean = False
        self._error: Exception | None = None

    def want(self) -> None:
        """A twin waits to read: let it, as soon as the leader is not waiting for the engine's next piece itself."""
        self._wanted = True
        if not self._stepping:
            self._share()

    async def lead(self) -> AsyncGenerator[T, None]:
        """Yield the pieces to the leader; closing it leaves.

        Raises:
            Exception: whatever the engine raised.
        """
        leader, at = self.owner, 0
        try:
            if self._wanted:
                self._share()
            while self._pump is None:
                self._stepping = True
                try:
                    piece = await anext(self._pieces)
                except StopAsyncIteration:
                    self._end(None)
                    return
                except Exception as error:
                    self._end(error)
                    raise
                self._stepping = False
                at = self._take(piece)
                if self._wanted:
                    self._share()
                yield piece
            while await self._beyond(at):
                at, piece = self._read(at)
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            await self._left(leader)

    async def follow(self, flight: Flight) -> AsyncGenerator[T, None]:
        """Yield the pieces to a twin, from the beginning; closing it leaves.

        Raises:
            LeaderFailedError: the call failed, or was stopped before.
        """
        if not self._over:
            self._readers[flight.request.id] = flight
        at = 0
        try:
            while await self._beyond(at):
                at, piece = self._read(at)
                yield piece
            if not self._clean:
                raise LeaderFailedError(self._error)
        finally:
            await self._left(flight)

    async def _beyond(self, at: int) -> bool:
        """Wait for a piece after the first `at`; return False where there will be none."""
        while self._count <= at and not self._over:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self._count > at

    def _read(self, at: int) -> tuple[int, T]:
        return (self._count, self._kept[-1]) if self._latest else (at + 1, self._kept[at])

    def _take(self, piece: T) -> int:
        self._count += 1
        if self.form is not None:
            if self._latest:
                self._kept.clear()
            self._kept.append(piece)
        self._took(piece)
        self._wake()
        return self._count

    def _share(self) -> None:
        if self._pump is not None or self._over:
            return
        self._pump = asyncio.get_running_loop().create_task(self._drain())
        if self.opened is not None:
            self.opened()

    async def _drain(self) -> None:
        try:
            async for piece in self._pieces:
                self._take(piece)
        except Exception as error:  # the readers raise it
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        self._over, self._clean, self._error = True, error is None, error
        self._ended(error)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _left(self, flight: Flight) -> None:
        self._readers.pop(flight.request.id, None)
        if not self._readers:
            await self._stop()
        elif flight is self.owner and not self._over:
            self.owner = next(iter(self._readers.values()))
            self._passed(flight, self.owner)

    async def _stop(self) -> None:
        self._over = True
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._pump])
        await self._pieces.aclose()
