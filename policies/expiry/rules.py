"""What holds under every expiry policy: kinds of answers, the caller's wish, grace, and answers that say nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Volatility
from ...middleware.lifetimes import Lifetime
from ..answer_checks.clean_end import CleanEnd
from ..answer_checks.declined import Declined

if TYPE_CHECKING:
    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.records import Answer, Request

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
NOTHING: Final = Lifetime(0.0)
_GRACELESS: Final = frozenset({Volatility.LIVE, Volatility.PERSONAL})
"""Kinds that are never served stale. Who asks about own affairs has often just changed them, and would be told the state
before that; an error is better than that, too."""
_SAYS_NOTHING: Final = frozenset({"empty", "error_body", "finish_reason_content_filter", "refusal"})
_CLEAN_END: Final = CleanEnd()
_DECLINED: Final = Declined()


def check_seconds(**settings: float) -> None:
    """Check settings in seconds.

    Raises:
        ValueError: one is negative or not finite.
    """
    for name, seconds in settings.items():
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{name} must be a finite number of seconds, at least 0")


def kind_of(request: Request, facts: RequestFacts) -> Volatility:
    """Return how soon an answer goes stale.

    Timeless is what nobody said anything of, and an embedding whatever its text is about: a model makes the same of it.
    """
    if facts.staleness is None or request.endpoint == "embeddings":
        return Volatility.TIMELESS
    return facts.staleness.volatility


def says_nothing(request: Request, answer: Answer) -> bool:
    """Return whether an answer declines, is empty or an error: the next attempt may well do better. A vector does not."""
    if request.endpoint == "embeddings":
        return False
    return _CLEAN_END.refuse(request, answer) in _SAYS_NOTHING or _DECLINED.refuse(request, answer) is not None


def lifetime_of(
    request: Request, kind: Volatility, fresh_s: float, grace_s: float = 0.0, error_grace_s: float = 0.0
) -> Lifetime:
    """Return a policy's lifetime as the caller's wish and the kind of the answer leave it.

    A caller's ttl shortens what is fresh. No grace is longer than it, so that nothing is served stale for longer than it
    was asked to be kept, nor longer than the `max_stale_s` that came with it. Without a ttl, `max_stale_s` is about what
    this caller reads alone, and changes nothing of what is kept for all. A wish that means nothing keeps nothing.
    """
    asked, most_stale = request.controls.ttl_s, request.controls.max_stale_s
    if asked is not None:
        fresh_s = _at_most(fresh_s, asked)
        grace_s, error_grace_s = _at_most(grace_s, asked), _at_most(error_grace_s, asked)
        if most_stale is not None:
            grace_s, error_grace_s = _at_most(grace_s, most_stale), _at_most(error_grace_s, most_stale)
    if not fresh_s > 0:
        return NOTHING
    return Lifetime(fresh_s) if kind in _GRACELESS else Lifetime(fresh_s, grace_s, error_grace_s)


def _at_most(seconds: float, wish: float) -> float:
    return min(seconds, wish) if wish >= 0 else 0.0  # neither is NaN
