"""Let in only what was asked for more often than what it would drive out."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from .lru import MEBIBYTE
from .state import amount_of, id_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

NAME: Final = "wtinylfu"
WINDOW: Final = 0.01
PROTECTED: Final = 0.8
MOST: Final = 15
PERIOD: Final = 10
"""Times `max_entries` requests after which all frequencies are halved."""
_PLACES: Final = ("window", "probation", "protected")


class WTinyLFU:
    """Windowed TinyLFU (Einziger, Friedman and Manes, *TinyLFU: A Highly Efficient Cache Admission Policy*, 2017).

    What is new stays in a window of 1% of the room, least recently used; what leaves it competes with the next to go of the main
    part, a segmented LRU with 80% protected: the one that was asked for more often stays. Frequencies are counted for ids
    that are not kept, too, up to 15, and halved every 10 * `max_entries` requests; at most about as many are remembered.

    Every operation is O(1), amortised.

    Args:
        max_entries: how many entries may be kept, at least 1.
        max_bytes: how large they may be together, at least 1. An entry larger than that is itself dropped at once.
        by_cost: frequencies count times costs.

    Raises:
        ValueError: a capacity is below 1.
    """

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 256 * MEBIBYTE, by_cost: bool = False) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        self._max_entries, self._max_bytes, self._by_cost = max_entries, max_bytes, by_cost
        self._window_entries, self._window_bytes = max(1, int(WINDOW * max_entries)), max(1, int(WINDOW * max_bytes))
        main = max_entries - self._window_entries
        self._protected_entries = int(PROTECTED * main)
        self._period = PERIOD * max_entries
        # id → size, cost; least recently used first
        self._window: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._probation: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._protected: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._counts: dict[str, int] = {}
        self._counted = 0
        self._bytes = self._bytes_window = 0

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Note a kept entry, new or written again, and return the ids to drop, in order."""
        self._count(entry_id)
        self.removed(entry_id)
        if size_bytes > self._max_bytes:
            return [entry_id]  # dropping all others would not make room for it
        self._window[entry_id] = (size_bytes, cost)
        self._bytes += size_bytes
        self._bytes_window += size_bytes
        return self._shrunk()

    def touched(self, entry_id: str, now_s: float) -> None:  # noqa: ARG002 - the order of calls is all it needs
        """Note that an entry was served; an unknown one is ignored."""
        if entry_id in self._protected:
            self._protected.move_to_end(entry_id)
        elif entry_id in self._probation:
            self._protected[entry_id] = self._probation.pop(entry_id)
            if len(self._protected) > self._protected_entries:
                oldest, its = self._protected.popitem(last=False)
                self._probation[oldest] = its
        elif entry_id in self._window:
            self._window.move_to_end(entry_id)
        else:
            return
        self._count(entry_id)

    def removed(self, entry_id: str) -> None:
        """Forget an entry; an unknown one is ignored."""
        for queue in (self._window, self._probation, self._protected):
            its = queue.pop(entry_id, None)
            if its is not None:
                self._bytes -= its[0]
                self._bytes_window -= its[0] if queue is self._window else 0

    def snapshot(self) -> JsonObject:
        """Return the three queues, least recently used first, and the frequencies."""
        queues = (self._window, self._probation, self._protected)
        return {
            "policy": NAME,
            "entries": [[entry_id, at, *its] for at, queue in enumerate(queues) for entry_id, its in queue.items()],
            "counts": [[entry_id, count] for entry_id, count in self._counts.items()],
            "counted": self._counted,
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot; what is too much for this capacity is dropped by the next `added`.

        Raises:
            ValueError: it is not a snapshot of this policy; the state stays as it was.
        """
        queues = tuple(OrderedDict[str, tuple[int, float]]() for _ in _PLACES)
        for row in rows_of(state, NAME, 4):
            at = int(min(amount_of(row[1], NAME), len(queues) - 1))
            queues[at][id_of(row[0], NAME)] = (int(amount_of(row[2], NAME)), amount_of(row[3], NAME))
        counts = {id_of(row[0], NAME): int(amount_of(row[1], NAME)) for row in rows_of(state, NAME, 2, "counts")}
        self._counted = int(amount_of(state.get("counted"), NAME))
        self._window, self._probation, self._protected = queues
        self._counts = counts
        self._bytes_window = sum(size for size, _ in self._window.values())
        self._bytes = sum(size for queue in queues for size, _ in queue.values())

    def carried(self) -> Sequence[tuple[str, int, float]]:
        """Return id, size and cost of what is kept, the next to go first: for another policy that takes over."""
        rows = (*self._probation.items(), *self._window.items(), *self._protected.items())
        return [(entry_id, *its) for entry_id, its in rows]

    def _shrunk(self) -> list[str]:
        dropped: list[str] = []
        while len(self._window) > self._window_entries or (
            self._bytes_window > self._window_bytes and len(self._window) > 1
        ):
            entry_id, its = self._window.popitem(last=False)
            self._bytes_window -= its[0]
            self._probation[entry_id] = its
            if self._is_full():
                dropped.append(self._loser(entry_id))
        while self._is_full():
            for queue in (self._probation, self._protected, self._window):
                if queue:
                    dropped.append(self._dropped(queue, next(iter(queue))))
                    break
        return dropped

    def _is_full(self) -> bool:
        kept = len(self._window) + len(self._probation) + len(self._protected)
        return kept > self._max_entries or self._bytes > self._max_bytes

    def _loser(self, newest: str) -> str:
        """Drop what comes from the window, or the next to go of the main part."""
        victim = next(iter(self._probation))
        if victim == newest:
            if not self._protected:
                return self._dropped(self._probation, newest)
            victim = next(iter(self._protected))
        queue = self._probation if victim in self._probation else self._protected
        if self._worth(newest, self._probation[newest][1]) > self._worth(victim, queue[victim][1]):
            return self._dropped(queue, victim)
        return self._dropped(self._probation, newest)

    def _worth(self, entry_id: str, cost: float) -> float:
        count = self._counts.get(entry_id, 0)
        return count * cost if self._by_cost else count

    def _dropped(self, queue: OrderedDict[str, tuple[int, float]], entry_id: str) -> str:
        its = queue.pop(entry_id)
        self._bytes -= its[0]
        self._bytes_window -= its[0] if queue is self._window else 0
        return entry_id

    def _count(self, entry_id: str) -> None:
        count = self._counts.get(entry_id, 0)
        if count < MOST:
            self._counts[entry_id] = count + 1
        self._counted += 1
        if self._counted >= self._period:
            self._counted //= 2
            self._counts = {name: half for name, count in self._counts.items() if (half := count >> 1)}
