"""A lifetime that begins anew with each use, up to a longest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Volatility
from .rules import DAY_S, HOUR_S, check_seconds, kind_of, lifetime_of, says_nothing

if TYPE_CHECKING:
    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.lifetimes import Lifetime
    from ...middleware.records import Answer, Entry, Request

WRITES: Final = 10
"""An entry is renewed at most so many times in each `idle_s`."""
_STANDING: Final = 0.999
"""What must not slide is fresh for at most this share of `idle_s`: an entry does not say why it was kept for how long, so its
lifetime does."""
_SLIDES: Final = (1 + _STANDING) / 2


class SlidingExpiry:
    """Keep an answer while it is used: for `idle_s` after its last use, but for no longer than `max_s` after it was made.

    That an answer is asked for often does not keep it true. So only what is timeless slides, and what nobody said how soon it
    goes stale of; the other kinds, and what a caller wants kept for less than `max_s`, live once: as long as they may, and
    less than `idle_s`.

    Args:
        idle_s: seconds after the last use; 0 keeps nothing.
        max_s: seconds after the answer was made.
        slow_s, daily_s, live_s, personal_s: the most for an answer of that kind.
        grace_s, error_grace_s: see `Lifetime`; answers about now and about the asker's own affairs have none.
        negative_s: the most for an answer that declines or says nothing; 0 does not keep it.

    Raises:
        ValueError: a number of seconds is negative or not finite.
    """

    def __init__(
        self,
        *,
        idle_s: float = DAY_S,
        max_s: float = 7 * DAY_S,
        slow_s: float = DAY_S,
        daily_s: float = HOUR_S,
        live_s: float = 0.0,
        personal_s: float = HOUR_S,
        grace_s: float = 0.0,
        error_grace_s: float = 0.0,
        negative_s: float = 0.0,
    ) -> None:
        check_seconds(idle_s=idle_s, max_s=max_s, slow_s=slow_s, daily_s=daily_s, live_s=live_s, personal_s=personal_s)
        check_seconds(grace_s=grace_s, error_grace_s=error_grace_s, negative_s=negative_s)
        self._idle_s, self._max_s = idle_s, max_s
        self._once_s = _STANDING * min(idle_s, max_s)
        self._limits = {
            Volatility.TIMELESS: min(idle_s, max_s),
            Volatility.SLOW: min(slow_s, self._once_s),
            Volatility.DAILY: min(daily_s, self._once_s),
            Volatility.LIVE: min(live_s, self._once_s),
            Volatility.PERSONAL: min(personal_s, self._once_s),
        }
        self._graces = grace_s, error_grace_s
        self._negative_s = negative_s

    def lifetime(self, request: Request, facts: RequestFacts, answer: Answer) -> Lifetime:
        """Return the lifetime of an answer that is not used again."""
        kind = kind_of(request, facts)
        fresh_s = self._limits[kind]
        asked = request.controls.ttl_s
        if asked is not None and asked < self._max_s:
            fresh_s = min(fresh_s, self._once_s)
        if says_nothing(request, answer):
            return lifetime_of(request, kind, min(fresh_s, self._once_s, self._negative_s))
        return lifetime_of(request, kind, fresh_s, *self._graces)

    def renewed_s(self, entry: Entry, now_s: float) -> float | None:
        """Return until which Unix time an entry that is served now is fresh, None where that is not worth a write.

        It is worth one where it gains a tenth of `idle_s`. What has expired is not fresh again because it was served.
        """
        slides = entry.expires_s - entry.created_s >= _SLIDES * self._idle_s
        if not slides or not entry.created_s <= now_s < entry.expires_s:
            return None
        until_s = min(entry.created_s + self._max_s, now_s + self._idle_s)
        return until_s if until_s - entry.expires_s >= self._idle_s / WRITES > 0 else None
