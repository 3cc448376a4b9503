"""What was kept and served, told to the process that keeps house in a shared store: in batches, never a write per read.

A batch that is lost loses statistics: an entry that nobody heard of is found when the house keeper next reads the store through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from .narrow import is_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .records import JsonObject

MOST_IDS: Final = 500
"""Entries that one batch tells of: about 50 KB of JSON, with ids of 64 characters."""
MOST_GATHERED: Final = 10_000
"""Entries that are gathered while batches cannot be written; what comes beyond is not told."""
MOST_TOUCHES: Final = 16
"""Times that one batch's accesses of one entry count for, at most: beyond it no policy tells them apart."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry was kept.

    Attributes:
        cost: what would be lost with it, already times its worth.
        at_s: Unix time.
    """

    id: str
    size_bytes: int
    cost: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Served:
    """An entry was served so many times, last at a Unix time."""

    id: str
    count: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process tells at once."""

    kept: tuple[Kept, ...] = ()
    served: tuple[Served, ...] = ()

    def to_json(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "kept": [[each.id, each.size_bytes, each.cost, each.at_s] for each in self.kept],
            "served": [[each.id, each.count, each.at_s] for each in self.served],
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Batch:
        """Read it back.

        Raises:
            ValueError: it is not what `to_json` wrote.
        """
        kept = tuple(Kept(str(row[0]), *map(_amount, row[1:])) for row in _rows(data.get("kept"), 4))  # type: ignore[arg-type]
        served = tuple(
            Served(str(row[0]), int(_amount(row[1])), _amount(row[2])) for row in _rows(data.get("served"), 3)
        )
        return cls(kept, served)


@runtime_checkable
class Recording(Protocol):
    """A store of several processes that hands batches from one to the other."""

    @property
    def recording(self) -> bool:
        """Whether it can: a tier in front of a store can what the store can."""
        ...

    async def record(self, batch: Batch) -> None:
        """Write a batch, in one write.

        Raises:
            StoreError: it is not written.
        """
        ...

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return so many batches at most, oldest first, and delete them; damaged ones are deleted and left out.

        Raises:
            StoreError: it failed; they come again, or are lost.
        """
        ...


@runtime_checkable
class BatchDeleting(Protocol):
    """A store that deletes several entries at once."""

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """Delete those of these entries that there are.

        Raises:
            StoreError: it failed; some may be deleted.
        """
        ...


class Gathered:
    """What this process has to tell."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._served: dict[str, Served] = {}

    def __len__(self) -> int:
        """Return of how many entries there is something to tell."""
        return len(self._kept) + len(self._served)

    def kept(self, kept: Kept) -> None:
        """Note that an entry was kept."""
        if len(self) < MOST_GATHERED:
            self._kept[kept.id] = kept

    def served(self, entry_id: str, now_s: float) -> None:
        """Note that an entry was served."""
        before = self._served.get(entry_id)
        if before is not None or len(self) < MOST_GATHERED:
            self._served[entry_id] = Served(entry_id, 1 if before is None else before.count + 1, now_s)

    def removed(self, entry_id: str) -> None:
        """Forget what is known of an entry: it is gone."""
        self._kept.pop(entry_id, None)
        self._served.pop(entry_id, None)

    def take(self) -> Batch | None:
        """Return the next batch, None where there is nothing to tell; it is not told again."""
        if not len(self):
            return None
        kept = tuple(self._kept.pop(name) for name in list(self._kept)[:MOST_IDS])
        served = tuple(self._served.pop(name) for name in list(self._served)[: MOST_IDS - len(kept)])
        return Batch(kept, served)


def in_order(batches: Iterable[Batch]) -> Iterator[Kept | Served]:
    """Yield what batches tell, oldest first; of one moment, first what was kept."""
    batches = list(batches)
    told: list[Kept | Served] = [each for batch in batches for each in batch.kept]
    told += [each for batch in batches for each in batch.served]
    yield from sorted(told, key=lambda each: each.at_s)


def _rows(value: Any, columns: int) -> list[list[Any]]:
    if not is_array(value) or len(value) > MOST_IDS:
        raise ValueError("not a batch of accesses")
    rows = [list(row) for row in value if is_array(row) and len(row) == columns and isinstance(row[0], str)]
    if len(rows) < len(value):
        raise ValueError("not a batch of accesses")
    return rows


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError("not a batch of accesses")
    return value
