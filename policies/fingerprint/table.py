"""Counts of what was seen lately, in two generations: what is not seen again for one of them is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class AgeingCounts:
    """Counts by integer key, of at most twice `size` keys.

    When the young generation is full it becomes the old one, and the old one is dropped, which takes no time to speak of
    however many there are. A key that is seen again is young again, with half of its count: old habits weigh less.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: int) -> bool:
        return key in self._young or key in self._old

    def get(self, key: int) -> int:
        """Return the count of a key."""
        count = self._young.get(key)
        return count if count is not None else self._old.get(key, 0)

    def add(self, key: int) -> int:
        """Count a key once more and return its count."""
        young = self._young
        count = young.get(key)
        if count is None:
            count = (self._old.pop(key, 0) + 1) // 2
            if len(young) >= self._size:
                self._old, self._young = young, {}
                young = self._young
        young[key] = count + 1
        return count + 1

    def begin(self, keys: Sequence[int]) -> None:
        """Count keys once that were not seen before; not many."""
        if len(self._young) + len(keys) > self._size:
            self._old, self._young = self._young, {}
        self._young.update(dict.fromkeys(keys, 1))

    def items(self, most: int, at_least: int = 1) -> list[tuple[int, int]]:
        """Return so many keys and counts, the latest ones, the oldest of them first."""
        both = [*self._old.items(), *self._young.items()]
        return [(key, count) for key, count in both if count >= at_least][-most:]

    def replace(self, items: Iterable[tuple[int, int]]) -> None:
        """Hold these instead, the oldest first; as many as fit into a generation."""
        kept = list(items)[-self._size :]
        self._young, self._old = dict(kept), {}
