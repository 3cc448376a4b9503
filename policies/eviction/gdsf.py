"""Drop what saves least: Greedy-Dual with frequencies, which remembers how often what is gone was asked for."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any, Final

from .lru import MEBIBYTE
from .state import amount_of, id_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

REMEMBERED: Final = 3
"""Times `max_entries`: of so many that are gone it is known how often they were asked for."""
FIRST: Final = 0.3
"""What the first request counts less than later ones: of many that are asked for once nothing more is heard."""
_SPARE: Final = 1_024
NAME: Final = "gdsf"


class GDSF:
    """Greedy-Dual-Size-Frequency by cost, with a memory of frequencies.

    An entry's worth is ``age + (requests - 0.3) * cost``, where `age` is the worth of the last one that was dropped, so that what is
    not asked for any more ages (Cherkasova, *Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy*,
    1998; here room is counted in entries, so a size does not matter). An entry that is computed again goes on with the
    requests it had: of the last `3 * max_entries` that were dropped they are remembered.

    `touched` is O(1); `added` is O(log n) for each entry it adds or drops, amortised.

    Args:
        max_entries: how many entries may be kept, at least 1.
        max_bytes: how large they may be together, at least 1. An entry larger than that is itself dropped at once.
        remembered: times `max_entries`; 0 forgets at once, which is the policy as it was published.
        first: see `FIRST`.

    Raises:
        ValueError: a capacity is below 1, or another number is out of its range.
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 256 * MEBIBYTE,
        remembered: float = REMEMBERED,
        first: float = FIRST,
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        if not remembered >= 0 or not 0 <= first < 1:
            raise ValueError("remembered must be at least 0, and first in [0, 1)")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._most_gone = int(remembered * max_entries)
        self._first = first
        self._age = 0.0
        self._bytes = 0
        # id → worth, requests, cost, size: a list, so that being asked for changes nothing else
        self._kept: dict[str, list[float]] = {}
        self._heap: list[tuple[float, str]] = []  # with worths as they once were: they only grow
        self._gone: OrderedDict[str, float] = OrderedDict()

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Note a kept entry, new or written again, and return the ids to drop, the least worth first."""
        before = self._kept.pop(entry_id, None)
        if before is not None:
            self._bytes -= int(before[3])
            requests = before[1]
        else:
            requests = self._gone.pop(entry_id, 0.0)
        if size_bytes > self._max_bytes:
            return [entry_id]  # dropping all others would not make room for it
        requests += 1.0
        worth = self._age + (requests - self._first) * cost
        self._kept[entry_id] = [worth, requests, cost, size_bytes]
        self._bytes += size_bytes
        heappush(self._heap, (worth, entry_id))
        dropped = self._shrunk()
        if len(self._heap) > 2 * len(self._kept) + _SPARE:
            self._rebuild()
        return dropped

    def touched(self, entry_id: str, now_s: float) -> None:  # noqa: ARG002 - the order of calls is all it needs
        """Note that an entry was served; an unknown one is ignored."""
        its = self._kept.get(entry_id)
        if its is not None:
            its[1] += 1.0
            its[0] = self._age + (its[1] - self._first) * its[2]

    def removed(self, entry_id: str) -> None:
        """Forget an entry; an unknown one is ignored."""
        its = self._kept.pop(entry_id, None)
        if its is not None:
            self._bytes -= int(its[3])

    def snapshot(self) -> JsonObject:
        """Return what is kept, with worth, requests, cost and size, and how often what is gone was asked for."""
        return {
            "policy": NAME,
            "age": self._age,
            "entries": [[entry_id, *its] for entry_id, its in self._kept.items()],
            "gone": [[entry_id, requests] for entry_id, requests in self._gone.items()],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot; what is too much for this capacity is dropped by the next `added`.

        Raises:
            ValueError: it is not a snapshot of this policy; the state stays as it was.
        """
        kept = {id_of(row[0], NAME): [amount_of(value, NAME) for value in row[1:]] for row in rows_of(state, NAME, 5)}
        gone = [(id_of(row[0], NAME), amount_of(row[1], NAME)) for row in rows_of(state, NAME, 2, "gone")]
        self._age = amount_of(state.get("age"), NAME)
        self._kept, self._gone = kept, OrderedDict(gone[-self._most_gone :] if self._most_gone else ())
        self._bytes = sum(int(its[3]) for its in kept.values())
        self._rebuild()

    def carried(self) -> Sequence[tuple[str, int, float]]:
        """Return id, size and cost of what is kept, the least worth first: for another policy that takes over."""
        order = sorted(self._kept.items(), key=lambda item: (item[1][0], item[0]))
        return [(entry_id, int(its[3]), its[2]) for entry_id, its in order]

    def _shrunk(self) -> list[str]:
        dropped: list[str] = []
        kept, heap = self._kept, self._heap
        while len(kept) > self._max_entries or self._bytes > self._max_bytes:
            worth, entry_id = heap[0]
            its: Any = kept.get(entry_id)
            if its is None:
                heappop(heap)
            elif its[0] != worth:
                heapreplace(heap, (its[0], entry_id))
            else:
                heappop(heap)
                del kept[entry_id]
                self._bytes -= int(its[3])
                self._age = max(self._age, worth)
                self._remember(entry_id, its[1])
                dropped.append(entry_id)
        return dropped

    def _remember(self, entry_id: str, requests: float) -> None:
        if self._most_gone:
            self._gone[entry_id] = requests
            if len(self._gone) > self._most_gone:
                self._gone.popitem(last=False)

    def _rebuild(self) -> None:
        self._heap = [(its[0], entry_id) for entry_id, its in self._kept.items()]
        heapify(self._heap)
