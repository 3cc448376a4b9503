"""Reading a store through in the background, while others write to it and ask for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ...middleware.errors import ForebayError
from ...middleware.protocols import Scannable
from ...middleware.records import EVERYTHING, Selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...middleware.protocols import Store
    from ...middleware.records import Entry

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 4
_A_TURN: Final = 8
"""Entries taken in before other tasks get a turn: 5 ms where each goes into a graph."""


class Filling:
    """Takes everything in that a store holds, the scopes that are asked for first.

    Args:
        store: what is read.
        take: takes an entry in; may get the same one twice.
    """

    def __init__(self, store: Store, take: Callable[[Entry], None]) -> None:
        self._store = store
        self._take = take
        self._complete = False
        self._scopes: set[str] = set()
        self._reading: dict[str | None, asyncio.Task[None]] = {}
        self._changed: set[str] = set()
        self._emptied = 0

    def covers(self, scope: str | None) -> bool:
        """Return whether all of a scope, or of the store, has been taken in; if not, have it read."""
        if self._complete or (scope is not None and scope in self._scopes):
            return True
        if isinstance(self._store, Scannable):
            for each in (None, scope):
                if each not in self._reading and len(self._reading) < _AT_ONCE:
                    self._reading[each] = asyncio.create_task(self._read(each), name="forebay-hot-fill")
        return False

    def changed(self, entry_id: str) -> None:
        """Note an entry that was written or deleted: what is being read of it is of before."""
        if self._reading:
            self._changed.add(entry_id)

    def emptied(self) -> None:
        """Note that the store holds nothing any more."""
        self._emptied += 1
        self._complete = True

    def again(self) -> None:
        """Everything may be different from now on: read it anew."""
        self._emptied += 1
        self._complete = False
        self._scopes.clear()

    async def stop(self) -> None:
        """Stop reading."""
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def done(self) -> None:
        """Wait until what is being read is there."""
        while self._reading:
            await asyncio.gather(*self._reading.values())

    async def _read(self, scope: str | None) -> None:
        began = self._emptied
        number = 0
        try:
            assert isinstance(self._store, Scannable)  # else this is not begun
            async for entry in self._store.scan(EVERYTHING if scope is None else Selector(scope=scope)):
                if self._emptied != began:
                    return
                if entry.id not in self._changed:
                    self._take(entry)
                number += 1
                if not number % _A_TURN:
                    await asyncio.sleep(0)
            if self._emptied != began:
                return
            if scope is None:
                self._complete = True
            else:
                self._scopes.add(scope)
        except ForebayError as error:  # the next request has it read again
            _log.info("the hot tier is not filled: %s", type(error).__name__)
        finally:
            self._reading.pop(scope, None)
            if not self._reading:
                self._changed.clear()
