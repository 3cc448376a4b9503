"""Entries that were written or read lately, kept decoded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.records import Entry

MOST_BYTES: Final = 512 * 1024 * 1024
"""Room for 130,000 answers of a few sentences."""

_OBJECTS_BYTES: Final = 1536
"""What the objects of a small entry take beside its texts: tracemalloc, Python 3.11."""

_NUMBER_BYTES: Final = 4


def memory_of(entry: Entry) -> int:
    """Return about how much memory an entry takes, in bytes."""
    vectors = sum(len(vector) for vector in (entry.vector, entry.context_vector) if vector is not None)
    return _OBJECTS_BYTES + entry.size_bytes + _NUMBER_BYTES * vectors


class HotEntries:
    """Entries by id, the least recently used out first.

    A read that began before a write and ends after it must not bring the old entry back, so an entry is only taken
    in with the `version` there was when its reading began.

    Args:
        most_bytes: of memory, about; 0 keeps none.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._most = most_bytes
        self._bytes = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry, None where it is not here."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._entries.move_to_end(entry_id)
        return entry

    def read(self, entry: Entry, version: int) -> None:
        """Take in an entry that was read, unless something was written since `version`."""
        size = memory_of(entry)
        if version != self.version or size > self._most:
            return
        self._drop(entry.id)
        self._entries[entry.id] = entry
        self._bytes += size
        while self._bytes > self._most:
            self._drop(next(iter(self._entries)))

    def warm(self, entry: Entry) -> None:
        """Take in an entry that nobody asked for, where there is room."""
        if entry.id not in self._entries and self._bytes + memory_of(entry) <= self._most:
            self.read(entry, self.version)

    def changed(self, entry_id: str | None = None) -> None:
        """Forget an entry that is being written or deleted; None forgets all."""
        self.version += 1
        if entry_id is None:
            self._entries.clear()
            self._bytes = 0
        else:
            self._drop(entry_id)

    def _drop(self, entry_id: str) -> None:
        gone = self._entries.pop(entry_id, None)
        if gone is not None:
            self._bytes -= memory_of(gone)
