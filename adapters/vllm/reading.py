"""What ``generate`` returns: an asynchronous generator that ends its call when nobody reads it any more.

Leaving an ``async for`` by ``break`` does not close a generator that a variable still names, and then vLLM goes on computing.
Each loop here reads through an object of its own, which goes when the loop does. Who comes back within the grace reads on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

T = TypeVar("T")
GRACE_S: Final = 0.3


class Reading(AsyncGenerator[T, None]):
    """Reads a generator, and closes it a while after its last reader has left. Belongs to one event loop.

    Args:
        pieces: what is read; not begun before it is asked for.
        grace_s: how long after leaving a loop another one may go on.
    """

    def __init__(self, pieces: AsyncGenerator[T, None], *, grace_s: float = GRACE_S) -> None:
        self._pieces = pieces
        self._grace_s = grace_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0
        self._closing: asyncio.Task[None] | None = None

    def __aiter__(self) -> _Loop[T]:  # an iterator of its own for each loop
        return _Loop(self)

    def __anext__(self) -> Coroutine[Any, Any, T]:
        self._asked += 1
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._pieces.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:  # noqa: ARG002  (nothing is sent in)
        """Ask for the next piece."""
        return self.__anext__()

    def athrow(
        self, typ: Any, val: BaseException | object = None, tb: TracebackType | None = None
    ) -> Coroutine[Any, Any, T]:
        """Raise something where the generator stands."""
        return self._pieces.athrow(typ, val, tb) if val is not None or tb is not None else self._pieces.athrow(typ)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End the call."""
        self._asked += 1
        return self._pieces.aclose()

    def left(self) -> None:
        """Note that a loop was left; from any thread."""
        loop, asked = self._loop, self._asked
        over = getattr(self._pieces, "ag_frame", self) is None
        if loop is not None and not over and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop closes at this very moment
                loop.call_soon_threadsafe(loop.call_later, self._grace_s, self._abandon, asked)

    def _abandon(self, asked: int) -> None:
        if self._asked == asked and self._loop is not None:
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        with contextlib.suppress(Exception):  # nobody is left to be told
            await self._pieces.aclose()


class _Loop(AsyncGenerator[T, None]):
    """What one ``async for`` holds."""

    def __init__(self, reading: Reading[T]) -> None:
        self._reading = reading

    def __aiter__(self) -> _Loop[T]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, T]:
        return self._reading.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        """Ask for the next piece."""
        return self._reading.asend(value)

    def athrow(
        self, typ: Any, val: BaseException | object = None, tb: TracebackType | None = None
    ) -> Coroutine[Any, Any, T]:
        """Raise something where the generator stands."""
        return self._reading.athrow(typ, val, tb)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End the call."""
        return self._reading.aclose()

    def __del__(self) -> None:
        self._reading.left()
