"""A heap whose members can leave from anywhere."""

from __future__ import annotations

import heapq
from typing import Final, Generic, TypeVar

_SPARE: Final = 64

Name = TypeVar("Name")
Key = TypeVar("Key", float, tuple[int, int])


class LazyHeap(Generic[Name, Key]):
    """Names by key, the smallest first, those of one key in the order in which they were added.

    Who leaves is forgotten at once and passed over when its turn comes. What is passed over never takes more room than the
    members and 64 more: then all of it is thrown out at once, so every operation is O(log n) amortised.
    """

    __slots__ = ("_entries", "_keys", "_number")

    def __init__(self) -> None:
        self._entries: list[tuple[Key, int, Name]] = []
        self._keys: dict[Name, tuple[Key, int]] = {}
        self._number = 0

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._keys)

    @property
    def room(self) -> int:
        """How many places it takes: members, and those who left and are still to be passed over."""
        return len(self._entries)

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
        entries, keys = self._entries, self._keys
        while entries:
            key, number, name = entries[0]
            if keys.get(name) == (key, number):
                return key, name
            heapq.heappop(entries)
        return None

    def _tidy(self) -> None:
        if len(self._entries) > 2 * len(self._keys) + _SPARE:
            self._entries = [(key, number, name) for name, (key, number) in self._keys.items()]
            heapq.heapify(self._entries)
