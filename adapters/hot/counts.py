"""How many entries a scope holds, where this process is the only writer."""

from __future__ import annotations

from collections import Counter


class ExactCounts:
    """Counts of a store with one writer: this process."""

    def __init__(self) -> None:
        self._scope_of: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def clear(self) -> None:
        """Nothing is kept any more."""
        self._scope_of.clear()
        self._counts.clear()

    def added(self, entry_id: str, scope: str) -> None:
        """Note an entry that was put, new or in place of another."""
        self.removed(entry_id)
        self._scope_of[entry_id] = scope
        self._counts[scope] += 1

    def removed(self, entry_id: str) -> None:
        """Note an entry that was deleted."""
        scope = self._scope_of.pop(entry_id, None)
        if scope is not None:
            self._counts[scope] -= 1
            if not self._counts[scope]:
                del self._counts[scope]

    def holds(self, entry_id: str) -> bool:
        """Return whether there is an entry with this id."""
        return entry_id in self._scope_of

    def of(self, scope: str | None) -> int:
        """Return how many entries a scope, or the whole store, holds."""
        return len(self._scope_of) if scope is None else self._counts[scope]
