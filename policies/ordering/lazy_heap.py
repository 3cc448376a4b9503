"""A heap whose members can leave from anywhere."""

from __future__ import annotations

import heapq
from typing import Final, Generic, TypeVar

_SPARE: Final = 64
_MOVES: Final = 8

Name = TypeVar("Name")
Key = TypeVar("Key", float, tuple[int, int])


class LazyHeap(Generic[Name, Key]):
    """Names by key, the smallest first, those of one key in the order in which they were added.

    Who leaves is forgotten at once and passed over when its turn comes. Where that is more than the members and 64, the members
    move to a new heap, eight with each operation: no caller waits until all have moved. Takes at most three times the room of
    the members and 100 more; O(log n), amortised.
    """

    __slots__ = ("_entries", "_keys", "_number", "_old")

    def __init__(self) -> None:
        self._entries: list[tuple[Key, int, Name]] = []
        self._old: list[tuple[Key, int, Name]] = []  # a heap, of which the members move
        self._keys: dict[Name, tuple[Key, int]] = {}
        self._number = 0

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._keys)

    @property
    def room(self) -> int:
        """How many places it takes: members, and those who left and are still to be passed over."""
        return len(self._entries) + len(self._old)

    def __contains__(self, name: Name) -> bool:
        """Return whether it is a member."""
        return name in self._keys

    def add(self, name: Name, key: Key) -> None:
        """Add a member; one that is there already gets the new key, behind those who have it."""
        self._number += 1
        self._keys[name] = (key, self._number)
        heapq.heappush(self._entries, (key, self._number, name))
        self._tidy()

    def discard(self, name: Name) -> bool:
        """Take a member out from wherever it is; return whether it was there."""
        if self._keys.pop(name, None) is None:
            return False
        self._tidy()
        return True

    def key(self, name: Name) -> Key:
        """Return a member's key."""
        return self._keys[name][0]

    def first(self) -> tuple[Key, Name] | None:
        """Return the smallest key and its member, None where there is nobody."""
        first, other = self._top(self._entries), self._top(self._old) if self._old else None
        if first is None or (other is not None and other < first):
            first = other
        return None if first is None else (first[0], first[2])

    def _top(self, entries: list[tuple[Key, int, Name]]) -> tuple[Key, int, Name] | None:
        keys = self._keys
        while entries:
            key, number, name = entries[0]
            if keys.get(name) == (key, number):
                return entries[0]
            heapq.heappop(entries)
        return None

    def _tidy(self) -> None:
        old = self._old
        if old:
            for _ in range(min(_MOVES, len(old))):
                key, number, name = old.pop()  # from its end, which leaves a heap
                if self._keys.get(name) == (key, number):
                    heapq.heappush(self._entries, (key, number, name))
        elif len(self._entries) > 2 * len(self._keys) + _SPARE:
            self._old, self._entries = self._entries, []
