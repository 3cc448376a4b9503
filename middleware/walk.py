"""Reading a store through a little at a time: what a walk has begun, the next round goes on with."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .breaker import Breaker
    from .protocols import Scannable
    from .records import Entry, Selector

LIST_S: Final = 60.0
"""How long one round's part may take at most, where the store hangs."""


class Walk:
    """One reading of what matches.

    Attributes:
        selector: what is read.
        changed: entries that were written or deleted since it began: what it says of them is not to be believed.
        ended: there is no more to read.
    """

    def __init__(self, store: Scannable, selector: Selector, breaker: Breaker) -> None:
        self.selector = selector
        self.changed: set[str] = set()
        self.ended = False
        self._entries: AsyncIterator[Entry] = store.scan(selector)
        self._breaker = breaker

    async def pull(self, take: Callable[[Entry], None], ends_s: float, timer: Callable[[], float]) -> None:
        """Hand entries on until a moment has come, at least one; a walk that failed has ended.

        Raises:
            StoreError, TimeoutError, OpenError: the store failed.
        """

        async def pulled() -> None:
            async for entry in self._entries:
                take(entry)
                if timer() >= ends_s:
                    return
            self.ended = True

        try:
            await self._breaker.call(pulled, LIST_S)
        except BaseException:
            self.ended = True
            raise

    async def close(self) -> None:
        """Read no more."""
        self.ended = True
        close = getattr(self._entries, "aclose", None)
        if close is not None:
            with suppress(Exception):
                await close()
