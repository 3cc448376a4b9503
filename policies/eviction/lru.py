"""Drop what was not used for the longest time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

MEBIBYTE: Final = 1024 * 1024


class LRU:
    """Least recently used, with room for a number of entries and a number of bytes.

    Every operation is O(1) apiece, `added` once more for each entry it drops.

    Args:
        max_entries: how many entries may be kept, at least 1.
        max_bytes: how large they may be together, at least 1. An entry larger than that is itself dropped at once.

    Raises:
        ValueError: a capacity is below 1.
    """

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 256 * MEBIBYTE) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._costs: dict[str, float] = {}
        self._bytes = 0

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Note a kept entry, new or written again, and return the ids to drop, oldest first."""
        self.removed(entry_id)
        if size_bytes > self._max_bytes:
            return [entry_id]  # dropping all others would not make room for it
        self._sizes[entry_id] = size_bytes
        self._costs[entry_id] = cost
        self._bytes += size_bytes
        return self._shrunk()

    def touched(self, entry_id: str, now_s: float) -> None:  # noqa: ARG002 - the order of calls is all LRU needs
        """Note that an entry was served; an unknown one is ignored."""
        if entry_id in self._sizes:
            self._sizes.move_to_end(entry_id)

    def removed(self, entry_id: str) -> None:
        """Forget an entry; an unknown one is ignored."""
        self._bytes -= self._sizes.pop(entry_id, 0)
        self._costs.pop(entry_id, None)

    def carried(self) -> Sequence[tuple[str, int, float]]:
        """Return id, size and cost of what is kept, the next to go first: for another policy that takes over."""
        return [(entry_id, size, self._costs.get(entry_id, 0.0)) for entry_id, size in self._sizes.items()]

    def snapshot(self) -> JsonObject:
        """Return ``{"entries": [[id, size_bytes], …]}``, least recently used first."""
        return {"entries": [[entry_id, size] for entry_id, size in self._sizes.items()]}

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot; what is too much for this capacity is dropped by the next `added`.

        Raises:
            ValueError: it is not a snapshot of this policy; the state stays as it was.
        """
        try:
            sizes = OrderedDict((_id(row[0]), _size(row[1])) for row in state["entries"])
        except (KeyError, TypeError, IndexError):
            raise ValueError("not a snapshot of the eviction policy 'lru'; delete it to start with none") from None
        self._sizes = sizes
        self._bytes = sum(sizes.values())

    def _shrunk(self) -> list[str]:
        dropped: list[str] = []
        while len(self._sizes) > self._max_entries or self._bytes > self._max_bytes:
            entry_id, size = self._sizes.popitem(last=False)
            self._bytes -= size
            self._costs.pop(entry_id, None)
            dropped.append(entry_id)
        return dropped


def _id(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value
