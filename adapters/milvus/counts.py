"""How many entries a scope holds, without asking Milvus for every request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FULL_S: Final = 60.0
EMPTY_S: Final = 1.0
MAX_SCOPES: Final = 10_000


class ExactCounts:
    """Counts of a store with one writer: this process.

    Args:
        rows: (id, scope) of every entry there is.
    """

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._scope_of = dict(rows)
        self._counts = Counter(self._scope_of.values())

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

    def ids(self, scope: str) -> list[str]:
        """Return the ids of a scope's entries."""
        return [name for name, place in self._scope_of.items() if place == scope]

    def of(self, scope: str | None) -> int:
        """Return how many entries a scope, or the whole store, holds."""
        return len(self._scope_of) if scope is None else self._counts[scope]


class RememberedCounts:
    """Counts of a store that other processes write to, remembered for a short time.

    A scope that holds something is asked again after a minute, an empty one after a second, so an entry that
    another process puts into an empty scope is found a second later at most.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str | None, tuple[int, float]] = {}

    def get(self, scope: str | None) -> int | None:
        """Return the remembered count, None where it must be asked for."""
        count, until = self._known.get(scope, (0, 0.0))
        return count if scope in self._known and self._clock() < until else None

    def note(self, scope: str | None, count: int) -> None:
        """Remember what was asked for."""
        if len(self._known) >= MAX_SCOPES:
            self._known.clear()
        self._known[scope] = (count, self._clock() + (FULL_S if count else EMPTY_S))

    def forget(self, scope: str | None = None) -> None:
        """Forget a scope and the total because this process changed it; None forgets all scopes."""
        if scope is None:
            self._known.clear()
        else:
            self._known.pop(scope, None)
            self._known.pop(None, None)
