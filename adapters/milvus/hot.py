"""Entries that were read lately, kept decoded: for a store that nobody else writes to."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.records import Entry

MOST_BYTES: Final = 16 * 1024 * 1024
"""Size of the entries' payloads together; as objects they take a few times that."""


class HotEntries:
    """Entries by id, the least recently used out first.

    A read that began before a write and ends after it must not bring the old entry back, so an entry is only taken
    in with the `version` there was when its reading began.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._most = most_bytes
        self._bytes = 0
        self.version = 0

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry, None where it is not here."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._entries.move_to_end(entry_id)
        return entry

    def read(self, entry: Entry, version: int) -> None:
        """Take in an entry that was read, unless something was written since `version`."""
        if version != self.version or entry.size_bytes > self._most:
            return
        self._drop(entry.id)
        self._entries[entry.id] = entry
        self._bytes += entry.size_bytes
        while self._bytes > self._most:
            self._drop(next(iter(self._entries)))

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
            self._bytes -= gone.size_bytes
