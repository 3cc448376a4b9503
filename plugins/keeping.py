"""The built-in policies of the settle stop: what is kept, for how long, and what has to go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ANSWER_CHECK, EVICTION, EXPIRY, Build, NoSettings, Registrar, Settings
from ..policies.answer_checks.clean_end import CleanEnd
from ..policies.eviction.lru import LRU, MEBIBYTE
from ..policies.expiry.fixed import DAY_S, HOUR_S, FixedExpiry

if TYPE_CHECKING:
    from ..middleware.protocols import AnswerCheck, Eviction, Expiry

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FixedExpirySettings(Settings):
    """How long an answer may be served.

    Attributes:
        ttl_s: seconds; 0 keeps nothing. A caller may ask for less, not for more.
        slow_s, daily_s, live_s, personal_s: the most for answers that the classifier "volatility" calls so, never above
            `ttl_s`.
    """

    ttl_s: Seconds = DAY_S
    slow_s: Seconds = DAY_S
    daily_s: Seconds = HOUR_S
    live_s: Seconds = 0.0
    personal_s: Seconds = HOUR_S


class LRUSettings(Settings):
    """How much is kept.

    Attributes:
        max_entries: kept answers.
        max_bytes: their size together.
    """

    max_entries: Annotated[int, Field(ge=1)] = 10_000
    max_bytes: Annotated[int, Field(ge=1)] = 256 * MEBIBYTE


def _make_clean_end(settings: NoSettings, build: Build) -> AnswerCheck:  # noqa: ARG001
    return CleanEnd()


def _make_fixed(settings: FixedExpirySettings, build: Build) -> Expiry:  # noqa: ARG001
    return FixedExpiry(**settings.model_dump())


def _make_lru(settings: LRUSettings, build: Build) -> Eviction:  # noqa: ARG001
    return LRU(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the answer check "clean_end", the expiry "fixed" and the eviction "lru"."""
    registry.add(ANSWER_CHECK, "clean_end", _make_clean_end, settings=NoSettings)
    registry.add(EXPIRY, "fixed", _make_fixed, settings=FixedExpirySettings)
    registry.add(EVICTION, "lru", _make_lru, settings=LRUSettings)
