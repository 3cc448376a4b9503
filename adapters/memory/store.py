"""A store in this process's memory: the reference for the others, and the tier of last resort."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ...middleware.forgotten import matches
from ..vectors.made import make_vectors
from ..vectors.points import group_of, group_sought, parts_of, parts_sought, ranked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from ...middleware.records import Candidate, Entry, Query, Selector
    from ..vectors.points import Vectors


class MemoryStore:
    """Keeps entries in dictionaries; gone when the process ends.

    Args:
        vectors: finds the nearest; by default the fastest there is. In pure Python a search costs about 15
            microseconds an entry of its group, with numpy a thousandth of that.
    """

    def __init__(self, vectors: Vectors | None = None) -> None:
        self._entries: dict[str, Entry] = {}
        self._vectors = make_vectors() if vectors is None else vectors
        self._scopes: Counter[str] = Counter()

    @property
    def place(self) -> str:
        """Say where the entries are."""
        return "memory of its own"

    @property
    def shared(self) -> bool:
        """Return False: no other process sees them."""
        return False

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, expired or not, or None."""
        return self._entries.get(entry_id)

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        """Return those of these entries that there are, in no order."""
        return self._present(entry_ids)

    async def search(self, query: Query) -> Sequence[Candidate]:
        """Return the nearest entries of the query's group, best first.

        Raises:
            StoreError: a vector of the query holds NaN or infinity.
        """
        parts = parts_sought(query)
        if parts is None:
            return []
        near = await self._vectors.nearest(group_sought(query), parts, query.limit)
        return ranked(query, self._present(name for name, _ in near))

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id.

        Raises:
            StoreError: a vector of it holds NaN or infinity.
        """
        parts = parts_of(entry)
        self._remove(entry.id)
        self._entries[entry.id] = entry
        self._scopes[entry.scope] += 1
        if parts is not None:
            self._vectors.put(entry.id, group_of(entry), parts)

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were."""
        found = [entry.id for entry in self._matching(selector)]
        for name in found:
            self._remove(name)
        return len(found)

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """Delete those of these entries that there are."""
        for entry_id in entry_ids:
            self._remove(entry_id)

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds."""
        return len(self._entries) if scope is None else self._scopes[scope]

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matched when the scan began."""
        for entry in self._matching(selector):
            yield entry

    def _present(self, names: Iterable[str]) -> list[Entry]:
        return [entry for name in names if (entry := self._entries.get(name)) is not None]

    def _matching(self, selector: Selector) -> list[Entry]:
        if selector.id is not None:
            entry = self._entries.get(selector.id)
            return [entry] if entry is not None and matches(selector, entry) else []
        return [entry for entry in self._entries.values() if matches(selector, entry)]

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        self._scopes[entry.scope] -= 1
        if not self._scopes[entry.scope]:
            del self._scopes[entry.scope]
        self._vectors.remove(name)
