"""A deadline for what a dependency does, not for what the event loop does.

Under load the loop comes to everything late: to the answer of a dependency, and to the timer that was to limit it.
`asyncio.timeout` then fails a read whose result lies ready, for no fault of the one that was asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

LATE_S: Final = 0.02
"""How late the loop may come to a timer and still count as on time."""
MOST: Final = 2.0
"""A deadline is stretched to at most this multiple of itself."""

_SLICES: Final = 5
_TURNS: Final = 3
"""Passes through all that is ready before time is called: a result travels through a few tasks to its waiter."""


class within:  # noqa: N801  (used like asyncio.timeout)
    """Limit a block in time, as `asyncio.timeout` does, but do not charge it for the event loop's lag.

    The time is spent in slices, and a slice costs its own length, however late the loop comes to its end. On an
    idle loop the block ends after `seconds`, on a busy one after at most twice that and one turn of the loop more.
    A result that is ready wins over the timer in any case.

    Args:
        seconds: for the block; not positive ends it as soon as it has waited for a few turns of the loop.

    Attributes:
        expired: the block was ended because its time was over.
        lag_s: by how much the loop was late while the block ran, as far as it was noticed.

    Raises:
        TimeoutError: the time is over.
    """

    __slots__ = (
        *("_cancelling", "_due_s", "_end_s", "_handle", "_left_s", "_loop", "_seconds", "_slice_s", "_task", "_ticks"),
        *("_turns", "expired", "lag_s"),
    )

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self.lag_s = 0.0
        self._seconds = max(0.0, seconds)
        self._left_s = self._seconds
        self._slice_s = 0.0
        self._due_s = 0.0
        self._end_s = 0.0
        self._ticks = 0
        self._turns = 0
        self._cancelling = 0
        self._handle: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[Any]

    @property
    def loop_was_late(self) -> bool:
        """Whether the loop, and not only what was waited for, took its time."""
        return self.lag_s > LATE_S

    async def __aenter__(self) -> Self:
        """Start the clock.

        Raises:
            RuntimeError: used outside a task.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can end")
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._end_s = self._loop.time() + MOST * self._seconds
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock.

        Raises:
            TimeoutError: the time is over, and nobody else cancelled the task.
        """
        del traceback
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _wait(self) -> None:
        self._slice_s = min(self._left_s, self._seconds / _SLICES)
        self._due_s = self._loop.time() + self._slice_s
        self._handle = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        """A slice is over, or a turn of the loop after the last one."""
        now = self._loop.time()
        late = max(0.0, now - self._due_s)
        self._ticks += 1
        if late > LATE_S:
            self.lag_s += late
            self._left_s -= self._slice_s
        else:
            self._left_s -= self._slice_s + late
        out_of_bounds = now >= self._end_s and self._ticks >= _TURNS
        if out_of_bounds or (self._left_s <= 0 and self._turns >= _TURNS):
            self.expired = True
            self._handle = None
            self._task.cancel()
        elif self._left_s > 0 and now < self._end_s:
            self._wait()
        else:
            self._turns += 1
            self._slice_s, self._due_s = 0.0, now
            self._handle = self._loop.call_soon(self._tick)
