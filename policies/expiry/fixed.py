"""A fixed lifetime for each kind of answer, by how soon it goes stale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Volatility

if TYPE_CHECKING:
    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.records import Answer, Request

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0


class FixedExpiry:
    """Keep each answer for a fixed time, or for as long as the caller asked, whichever is shorter.

    What is timeless, and what nobody said how soon it goes stale of, is kept for `ttl_s`. The others have a limit of their
    own, never above `ttl_s`: what changes in weeks may be a day late, what changes within a day an hour; what is
    stale at once is not kept. What is about the asker's own affairs is matched exactly only (the classifier sees to that), with
    all of the conversation that it was said in, and kept for an hour: affairs change.

    Args:
        ttl_s: lifetime in seconds; 0 keeps nothing.
        slow_s, daily_s, live_s, personal_s: the most for an answer of that kind.

    Raises:
        ValueError: a lifetime is negative or not finite.
    """

    def __init__(
        self,
        *,
        ttl_s: float = DAY_S,
        slow_s: float = DAY_S,
        daily_s: float = HOUR_S,
        live_s: float = 0.0,
        personal_s: float = HOUR_S,
    ) -> None:
        limits = {"ttl_s": ttl_s, "slow_s": slow_s, "daily_s": daily_s, "live_s": live_s, "personal_s": personal_s}
        for name, limit in limits.items():
            if not (limit >= 0 and math.isfinite(limit)):
                raise ValueError(f"{name} must be a finite number of seconds, at least 0")
        self._ttl_s = ttl_s
        self._limits = {
            Volatility.TIMELESS: ttl_s,
            Volatility.SLOW: min(slow_s, ttl_s),
            Volatility.DAILY: min(daily_s, ttl_s),
            Volatility.LIVE: min(live_s, ttl_s),
            Volatility.PERSONAL: min(personal_s, ttl_s),
        }

    def lifetime_s(self, request: Request, facts: RequestFacts, answer: Answer) -> float:  # noqa: ARG002 - the protocol's
        """Return the lifetime in seconds, at least 0."""
        staleness = facts.staleness
        limit = self._ttl_s if staleness is None else self._limits[staleness.volatility]
        asked = request.controls.ttl_s
        # "not >= 0" takes a NaN for 0, too: what the caller meant is unknown, so nothing is kept
        if asked is None:
            return limit
        return min(asked, limit) if asked >= 0 else 0.0
