"""Drop what nobody asked for again soon after it came: three queues, first in, first out."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from .lru import MEBIBYTE
from .state import amount_of, id_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

NAME: Final = "s3fifo"
SMALL: Final = 0.1
"""Share of the room for what is new."""
GHOSTS: Final = 0.9
OFTEN: Final = 2
"""Requests while it was new, after the first, that bring an entry into the main queue."""
MOST: Final = 3


class S3FIFO:
    """S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*, SOSP 2023); blind to costs.

    What is new goes through a small queue, from which it is dropped unless it was asked for twice meanwhile; what was dropped there
    and comes back goes into the main queue, whose entries go round as often as they were asked for, three times at most. Until something
    had to go, what the small queue has no room for goes into the main one, as in the authors' libCacheSim.

    Every operation is O(1), `added` amortised for each entry it drops.

    Args:
        max_entries: how many entries may be kept, at least 1.
        max_bytes: how large they may be together, at least 1. An entry larger than that is itself dropped at once.

    Raises:
        ValueError: a capacity is below 1.
    """

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 256 * MEBIBYTE) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._small_entries, self._small_bytes = max(1, int(SMALL * max_entries)), max(1, int(SMALL * max_bytes))
        self._most_ghosts = max(1, int(GHOSTS * max_entries))
        # id → requests since it came or went round, size, cost; oldest first
        self._small: OrderedDict[str, list[float]] = OrderedDict()
        self._main: OrderedDict[str, list[float]] = OrderedDict()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self._bytes = self._bytes_small = 0
        self._filled = False

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Note a kept entry, new or written again, and return the ids to drop, in order."""
        if size_bytes > self._max_bytes:
            self.removed(entry_id)
            return [entry_id]  # dropping all others would not make room for it
        its = self._small.get(entry_id) or self._main.get(entry_id)
        if its is not None:
            self._bytes += size_bytes - int(its[1])
            if entry_id in self._small:
                self._bytes_small += size_bytes - int(its[1])
            its[0], its[1], its[2] = min(its[0] + 1, MOST), size_bytes, cost
            return self._shrunk()
        dropped = self._shrunk(size_bytes)
        self._filled = self._filled or bool(dropped)
        if entry_id in self._ghosts or (not self._filled and self._is_over()):
            self._ghosts.pop(entry_id, None)
            self._main[entry_id] = [0, size_bytes, cost]
        else:
            self._small[entry_id] = [0, size_bytes, cost]
            self._bytes_small += size_bytes
        self._bytes += size_bytes
        return dropped

    def touched(self, entry_id: str, now_s: float) -> None:  # noqa: ARG002 - the order of calls is all it needs
        """Note that an entry was served; an unknown one is ignored."""
        its = self._small.get(entry_id) or self._main.get(entry_id)
        if its is not None and its[0] < MOST:
            its[0] += 1

    def removed(self, entry_id: str) -> None:
        """Forget an entry; an unknown one is ignored."""
        its = self._small.pop(entry_id, None)
        if its is not None:
            self._bytes_small -= int(its[1])
        else:
            its = self._main.pop(entry_id, None)
        if its is not None:
            self._bytes -= int(its[1])

    def snapshot(self) -> JsonObject:
        """Return both queues and the ids that were dropped from the small one, the oldest first."""
        return {
            "policy": NAME,
            "entries": [
                [entry_id, small, *its]
                for small, queue in ((1, self._small), (0, self._main))
                for entry_id, its in queue.items()
            ],
            "ghosts": [[entry_id] for entry_id in self._ghosts],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot; what is too much for this capacity is dropped by the next `added`.

        Raises:
            ValueError: it is not a snapshot of this policy; the state stays as it was.
        """
        small: OrderedDict[str, list[float]] = OrderedDict()
        main: OrderedDict[str, list[float]] = OrderedDict()
        for row in rows_of(state, NAME, 5):
            queue = small if amount_of(row[1], NAME) else main
            queue[id_of(row[0], NAME)] = [amount_of(value, NAME) for value in row[2:]]
        ghosts = [id_of(row[0], NAME) for row in rows_of(state, NAME, 1, "ghosts")]
        self._small, self._main, self._ghosts = small, main, OrderedDict.fromkeys(ghosts[-self._most_ghosts :])
        self._filled = bool(ghosts)
        self._bytes_small = sum(int(its[1]) for its in small.values())
        self._bytes = self._bytes_small + sum(int(its[1]) for its in main.values())

    def carried(self) -> Sequence[tuple[str, int, float]]:
        """Return id, size and cost of what is kept, the next to go first: for another policy that takes over."""
        rows = (*self._small.items(), *self._main.items())
        return [(entry_id, int(its[1]), its[2]) for entry_id, its in rows]

    def _is_over(self) -> bool:
        """Return whether the small queue has its share."""
        return len(self._small) >= self._small_entries or self._bytes_small > self._small_bytes

    def _shrunk(self, room: int = 0) -> list[str]:
        """Make room for one entry of this size, or for none where the size is 0."""
        dropped: list[str] = []
        more = 1 if room else 0
        while len(self._small) + len(self._main) + more > self._max_entries or self._bytes + room > self._max_bytes:
            if self._small and (self._is_over() or not self._main):
                entry_id, its = self._small.popitem(last=False)
                self._bytes_small -= int(its[1])
                if its[0] >= OFTEN:
                    its[0] = 0
                    self._main[entry_id] = its
                    continue
                self._ghosts[entry_id] = None
                if len(self._ghosts) > self._most_ghosts:
                    self._ghosts.popitem(last=False)
            elif self._main:
                entry_id, its = self._main.popitem(last=False)
                if its[0] > 0:
                    its[0] -= 1
                    self._main[entry_id] = its
                    continue
            else:
                break
            self._bytes -= int(its[1])
            dropped.append(entry_id)
        return dropped
