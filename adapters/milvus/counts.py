"""How many entries a scope holds, without asking Milvus for every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_S: Final = 60.0
EMPTY_S: Final = 1.0
MAX_SCOPES: Final = 10_000


class RememberedCounts:
    """Counts of a store that other processes write to, remembered for a short time.

    A scope that holds something is asked again after a minute, an empty one after a second, so an entry that
    another process puts into an empty scope is found a second later at most.

    Args:
        clock: seconds that never go back.

    Attributes:
        version: changes with every `forget`; a count that was asked for before is not remembered after.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str | None, tuple[int, float]] = {}
        self.version = 0

    def get(self, scope: str | None) -> int | None:
        """Return the remembered count, None where it must be asked for."""
        count, until = self._known.get(scope, (0, 0.0))
        return count if scope in self._known and self._clock() < until else None

    def note(self, scope: str | None, count: int, version: int) -> None:
        """Remember what was asked for, when there was this version."""
        if version != self.version:
            return
        if len(self._known) >= MAX_SCOPES:
            self._known.clear()
        self._known[scope] = (count, self._clock() + (FULL_S if count else EMPTY_S))

    def forget(self, scope: str | None = None) -> None:
        """Forget a scope and the total because this process changed it; None forgets all scopes."""
        self.version += 1
        if scope is None:
            self._known.clear()
        else:
            self._known.pop(scope, None)
            self._known.pop(None, None)
