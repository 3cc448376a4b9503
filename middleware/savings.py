"""What the cache saved, and for whom: counted by day, key, team and model in the state store."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final

from .hookspecs import hookimpl
from .records import CacheStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Finished
    from .state import StateStore

HITS: Final = frozenset({CacheStatus.EXACT, CacheStatus.INFLIGHT, CacheStatus.SEMANTIC, CacheStatus.STALE})


class Savings:
    """An observer that counts every request, and the tokens and money of those that were hits."""

    def __init__(self, state: StateStore, *, clock: Callable[[], float] = time) -> None:
        self._state = state
        self._clock = clock

    @hookimpl
    def request_finished(self, finished: Finished) -> None:
        """Count a request."""
        hit = finished.status in HITS
        tokens = finished.input_tokens + finished.output_tokens if hit else 0
        self._state.count_saved(
            (day_of(self._clock()), finished.labels.get("key", ""), finished.labels.get("team", ""), finished.model),
            hit=hit,
            tokens=tokens,
            usd=finished.saved_usd if hit else 0.0,
        )


def day_of(now_s: float) -> str:
    """Return the day of a time, in UTC: 2026-01-31."""
    return datetime.fromtimestamp(now_s, tz=UTC).strftime("%Y-%m-%d")
