"""The store behind the hot tier, with all that only some stores can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ...middleware.accesses import BatchDeleting, Recording
from ...middleware.errors import PayloadError, StoreError
from ...middleware.protocols import Component, Placed, Scannable
from ...middleware.records import Selector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ...middleware.events import Health
    from ...middleware.protocols import Store
    from ...middleware.records import Entry


@runtime_checkable
class Fetching(Protocol):
    """A store that returns several entries at once."""

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        """Return those of these entries that there are, in no order, without the damaged ones."""
        ...


@runtime_checkable
class Resettable(Protocol):
    """A store that can be made anew."""

    async def reset(self) -> None:
        """Drop everything, whatever shape it has."""
        ...


class Behind:
    """A store, and its ways to do what it has no method for.

    Attributes:
        store: itself.
        shared: whether others may write to it; one that does not say is taken to be shared.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.shared = not isinstance(store, Placed) or store.shared
        self._many = store.get_many if isinstance(store, Fetching) else None

    @property
    def place(self) -> str:
        """Where the entries are."""
        return self.store.place if isinstance(self.store, Placed) else "a store behind the hot tier"

    @property
    def recorder(self) -> Recording | None:
        """What takes batches of accesses, None where nothing does."""
        return self.store if isinstance(self.store, Recording) and self.store.recording else None

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """Delete those of these entries that there are.

        Raises:
            StoreError: it failed; some may be deleted.
        """
        if isinstance(self.store, BatchDeleting):
            await self.store.delete_many(entry_ids)
            return
        for entry_id in entry_ids:
            await self.store.delete(Selector(id=entry_id))

    @property
    def damaged(self) -> int:
        """Entries left out so far because their payload was not ours."""
        return int(getattr(self.store, "damaged", 0))

    async def start(self) -> None:
        """Open it."""
        if isinstance(self.store, Component):
            await self.store.start()

    async def stop(self) -> None:
        """Close it."""
        if isinstance(self.store, Component):
            await self.store.stop()

    async def check_ready(self) -> Sequence[Health]:
        """Say how it is."""
        return await self.store.check_ready() if isinstance(self.store, Component) else []

    async def many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        """Return those of these entries that there are, in no order, without the damaged ones.

        Raises:
            StoreError: it failed.
        """
        if not entry_ids:
            return []
        if self._many is not None:
            return await self._many(entry_ids)
        found = await asyncio.gather(*map(self.store.get, entry_ids), return_exceptions=True)
        entries: list[Entry] = []
        for each in found:
            if isinstance(each, BaseException):
                if not isinstance(each, PayloadError):
                    raise each
            elif each is not None:
                entries.append(each)
        return entries

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matches.

        Raises:
            StoreError: it failed, or cannot list its entries.
        """
        if not isinstance(self.store, Scannable):
            raise StoreError("the store behind the hot tier cannot list its entries")
        return self.store.scan(selector)

    async def reset(self) -> None:
        """Make it anew, empty.

        Raises:
            StoreError: it failed, or cannot be made anew.
        """
        if not isinstance(self.store, Resettable):
            raise StoreError("the store behind the hot tier cannot be made anew")
        await self.store.reset()
