"""A fixed lifetime for each kind of answer, by how soon it goes stale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...middleware.analysis.facts import Volatility
from .rules import DAY_S, HOUR_S, check_seconds, kind_of, lifetime_of, says_nothing

if TYPE_CHECKING:
    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.lifetimes import Lifetime
    from ...middleware.records import Answer, Request


class FixedExpiry:
    """Keep each answer for a fixed time, or for as long as the caller asked, whichever is shorter.

    What is timeless, and what nobody said how soon it goes stale of, is kept for `ttl_s`. The others have a limit of their
    own, never above `ttl_s`: what changes in weeks may be a day late, what changes within a day an hour; what is
    stale at once is not kept. What is about the asker's own affairs is matched exactly only (the classifier sees to that), with
    all of the conversation that it was said in, and kept for an hour: affairs change.

    Args:
        ttl_s: lifetime in seconds; 0 keeps nothing.
        slow_s, daily_s, live_s, personal_s: the most for an answer of that kind.
        grace_s, error_grace_s: see `Lifetime`; answers about now and about the asker's own affairs have none.
        negative_s: the most for an answer that declines or says nothing; 0 does not keep it.

    Raises:
        ValueError: a number of seconds is negative or not finite.
    """

    def __init__(
        self,
        *,
        ttl_s: float = DAY_S,
        slow_s: float = DAY_S,
        daily_s: float = HOUR_S,
        live_s: float = 0.0,
        personal_s: float = HOUR_S,
        grace_s: float = 0.0,
        error_grace_s: float = 0.0,
        negative_s: float = 0.0,
    ) -> None:
        check_seconds(ttl_s=ttl_s, slow_s=slow_s, daily_s=daily_s, live_s=live_s, personal_s=personal_s)
        check_seconds(grace_s=grace_s, error_grace_s=error_grace_s, negative_s=negative_s)
        self._limits = {
            Volatility.TIMELESS: ttl_s,
            Volatility.SLOW: min(slow_s, ttl_s),
            Volatility.DAILY: min(daily_s, ttl_s),
            Volatility.LIVE: min(live_s, ttl_s),
            Volatility.PERSONAL: min(personal_s, ttl_s),
        }
        self._graces = grace_s, error_grace_s
        self._negative_s = negative_s

    def lifetime(self, request: Request, facts: RequestFacts, answer: Answer) -> Lifetime:
        """Return the lifetime: the same for every answer of a kind."""
        kind = kind_of(request, facts)
        if says_nothing(request, answer):
            return lifetime_of(request, kind, min(self._limits[kind], self._negative_s))
        return lifetime_of(request, kind, self._limits[kind], *self._graces)
