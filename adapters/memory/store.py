"""A store in this process's memory: the reference for the others, and the tier of last resort."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from heapq import nlargest
from operator import itemgetter, mul
from typing import TYPE_CHECKING, Final

from ...middleware.errors import StoreError
from ...middleware.forgotten import matches
from ...middleware.records import Candidate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ...middleware.records import Entry, Key, Selector, Vector

_SLICE: Final = 256
"""Vectors compared before other tasks get a turn: about 5 ms of pure Python at 384 dimensions."""

_Place = tuple[str, str, str]


class MemoryStore:
    """Keeps entries in dictionaries; gone when the process ends.

    Search is exact and pure Python, so it costs about 15 microseconds a vector of 384 dimensions in the
    same scope, context and embedder.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._vectors: dict[_Place, dict[str, Sequence[float]]] = {}
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

    async def search(self, key: Key, vector: Vector, embedder: str, limit: int) -> Sequence[Candidate]:
        """Return the nearest entries of the same scope, context and embedder, best first.

        Args:
            vector: the question's vector, of any length but zero; compared by cosine.
        """
        asked = unit(vector)
        known = list(self._vectors.get((key.scope, key.context, embedder), {}).items())
        if asked is None or limit < 1 or not known:
            return []
        scored: list[tuple[float, str]] = []
        for start in range(0, len(known), _SLICE):
            if start:
                await asyncio.sleep(0)
            scored.extend(
                (sum(map(mul, asked, other)), name)
                for name, other in known[start : start + _SLICE]
                if len(other) == len(asked)
            )
        best = nlargest(limit, scored, key=itemgetter(0))
        # an entry may have been deleted while other tasks had their turn
        return [
            Candidate(entry, max(-1.0, min(1.0, similarity)))
            for similarity, name in best
            if (entry := self._entries.get(name)) is not None
        ]

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id.

        Raises:
            StoreError: its vector holds NaN or infinity.
        """
        direction = unit(entry.vector) if entry.vector is not None else None
        self._remove(entry.id)
        self._entries[entry.id] = entry
        self._scopes[entry.scope] += 1
        if direction is not None:
            self._vectors.setdefault(_place(entry), {})[entry.id] = direction

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were."""
        found = [entry.id for entry in self._matching(selector)]
        for name in found:
            self._remove(name)
        return len(found)

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds."""
        return len(self._entries) if scope is None else self._scopes[scope]

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matched when the scan began."""
        for entry in self._matching(selector):
            yield entry

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
        group = self._vectors.get(_place(entry))
        if group is not None:
            group.pop(name, None)
            if not group:
                del self._vectors[_place(entry)]


def unit(vector: Vector) -> Sequence[float] | None:
    """Return a vector scaled to length 1, or None for one without a direction.

    Raises:
        StoreError: it holds NaN or infinity.
    """
    norm = math.hypot(*vector)
    if not math.isfinite(norm):
        raise StoreError("a vector holds NaN or infinity; check the embedder")
    return [value / norm for value in vector] if norm else None


def _place(entry: Entry) -> _Place:
    return entry.scope, entry.context, entry.embedder
