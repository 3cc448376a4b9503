"""Telling an eviction policy what a store holds: after a start, or when another process kept house before."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from .accesses import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocols import Eviction
    from .records import Entry, JsonObject
    from .walk import Walk

log = logging.getLogger(__name__)
FED_AT_ONCE: Final = 500
"""Entries between two chances for others to run: about 3 ms."""


class Adoption:
    """One reading of the store, of which ids, sizes, costs and times are kept: 0.3 KB an entry.

    Args:
        began_s: Unix time.
        since_s: when the policy's snapshot was made; it is told of all that was made later, known or not.

    Attributes:
        meanwhile: kept while it is read; the policy is told of them after the older ones.
    """

    def __init__(self, walk: Walk, began_s: float, since_s: float) -> None:
        self.walk = walk
        self.began_s = began_s
        self.meanwhile: dict[str, Kept] = {}
        self._since_s = since_s
        self._seen: dict[str, Kept] = {}

    def see(self, entry: Entry) -> None:
        """Take an entry in."""
        self._seen[entry.id] = Kept(entry.id, entry.size_bytes, entry.cost, entry.created_s)

    def gone(self, known: set[str]) -> list[str]:
        """Return which of the known entries the store does not hold any more."""
        return [name for name in known if name not in self._seen and name not in self.walk.changed]

    async def feed(self, known: set[str], add: Callable[[Kept], None]) -> None:
        """Tell of the entries that are not known, or not as they are, oldest first."""
        for at, kept in enumerate(sorted(self._seen.values(), key=lambda kept: kept.at_s), 1):
            if kept.id not in self.walk.changed and (kept.id not in known or kept.at_s > self._since_s):
                add(kept)
            if at % FED_AT_ONCE == 0:
                await asyncio.sleep(0)


def restored(eviction: Eviction, saved: JsonObject | None) -> tuple[set[str], float] | None:
    """Give a policy its snapshot; return the ids that it knows and when that was, None where it starts without one."""
    try:
        if saved is not None:
            known, saved_s = {str(name) for name in saved["ids"]}, float(saved["saved_s"])
            eviction.restore(saved["policy"])
            return known, saved_s
    except (ValueError, KeyError, TypeError):
        log.info("the eviction policy starts without its snapshot: it is another policy's")
    return None
