"""The built-in policies of the settle stop: what is kept, for how long, and what has to go."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from ..middleware.analysis.facts import Volatility
from ..middleware.hookspecs import hookimpl
from ..middleware.narrow import is_object
from ..middleware.registry import ANSWER_CHECK, EVICTION, EXPIRY, Build, NoSettings, Registrar, Settings
from ..policies.answer_checks.asked_format import AskedFormat
from ..policies.answer_checks.asked_language import AskedLanguage
from ..policies.answer_checks.clean_end import CleanEnd
from ..policies.answer_checks.declined import Declined
from ..policies.eviction.adaptive import Adaptive
from ..policies.eviction.gdsf import GDSF
from ..policies.eviction.lru import LRU, MEBIBYTE
from ..policies.eviction.s3fifo import S3FIFO
from ..policies.eviction.wtinylfu import WTinyLFU
from ..policies.expiry.fixed import FixedExpiry
from ..policies.expiry.rules import DAY_S, HOUR_S
from ..policies.expiry.sliding import SlidingExpiry
from ..policies.expiry.volatility import BOUNDS, Bounds, VolatilityExpiry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..middleware.protocols import AnswerCheck, Eviction, Expiry
    from ..policies.answer_checks.asked_format import Validator

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AskedFormatSettings(Settings):
    """Whether an answer has the format that was asked for.

    Attributes:
        schemas: hold answers against the JSON schema of their request, too; needs the package jsonschema.
    """

    schemas: bool = True


class FixedExpirySettings(Settings):
    """How long an answer may be served.

    Attributes:
        ttl_s: seconds; 0 keeps nothing. A caller may ask for less, not for more.
        slow_s, daily_s, live_s, personal_s: the most for answers that the classifier "volatility" calls so, never above
            `ttl_s`.
        grace_s: seconds after that in which an answer may be served stale while it is computed anew; none for `live` and
            `personal`.
        error_grace_s: the same where computing it anew fails.
        negative_s: the most for answers that decline, are empty or errors; 0 does not keep them.
    """

    ttl_s: Seconds = DAY_S
    slow_s: Seconds = DAY_S
    daily_s: Seconds = HOUR_S
    live_s: Seconds = 0.0
    personal_s: Seconds = HOUR_S
    grace_s: Seconds = 0.0
    error_grace_s: Seconds = 0.0
    negative_s: Seconds = 0.0


class SlidingExpirySettings(Settings):
    """How long an answer that is used may be served.

    Attributes:
        idle_s: seconds after the last use; 0 keeps nothing.
        max_s: seconds after it was made.
        slow_s, daily_s, live_s, personal_s: the most for answers that the classifier "volatility" calls so; they do not
            slide.
        grace_s, error_grace_s, negative_s: as of "fixed".
    """

    idle_s: Seconds = DAY_S
    max_s: Seconds = 7 * DAY_S
    slow_s: Seconds = DAY_S
    daily_s: Seconds = HOUR_S
    live_s: Seconds = 0.0
    personal_s: Seconds = HOUR_S
    grace_s: Seconds = 0.0
    error_grace_s: Seconds = 0.0
    negative_s: Seconds = 0.0


class LifetimeSettings(Settings):
    """Lifetimes of a kind of answer, in seconds: to begin with, and whatever is learned; a `max_s` of 0 keeps nothing."""

    start_s: Seconds
    min_s: Seconds
    max_s: Seconds

    @model_validator(mode="after")
    def _in_order(self) -> LifetimeSettings:
        self.bounds()
        return self

    def bounds(self) -> Bounds:
        """Return them for the policy."""
        return Bounds(self.start_s, self.min_s, self.max_s)


def _lifetimes(kind: Volatility) -> Any:
    return Field(default_factory=lambda: LifetimeSettings.model_validate(asdict(BOUNDS[kind])))


class VolatilityExpirySettings(Settings):
    """How long answers may be served, learned from which of them had changed when they were computed anew.

    Attributes:
        timeless, slow, daily, personal, live: `start_s`, `min_s` and `max_s` of answers that the classifier "volatility"
            calls so.
        stale_share: the share of its lifetime in which an answer is expected to be stale.
        noise: the share of answers that are called changed though they say the same.
        memory: revisions of a kind that are remembered.
        jitter: lifetimes are moved by up to this share.
        grace_share: of its lifetime that an answer may be served stale while it is computed anew.
        grace_max_s: the most of that.
        error_grace_s: seconds in which it may be served where computing it anew fails, at most the kind's `max_s`.
        negative_s: the most for answers that decline, are empty or errors; 0 does not keep them.
    """

    timeless: LifetimeSettings = _lifetimes(Volatility.TIMELESS)
    slow: LifetimeSettings = _lifetimes(Volatility.SLOW)
    daily: LifetimeSettings = _lifetimes(Volatility.DAILY)
    personal: LifetimeSettings = _lifetimes(Volatility.PERSONAL)
    live: LifetimeSettings = _lifetimes(Volatility.LIVE)
    stale_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    noise: Annotated[float, Field(ge=0, lt=1)] = 0.02
    memory: Annotated[int, Field(ge=10)] = 500
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    grace_share: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    grace_max_s: Seconds = HOUR_S
    error_grace_s: Seconds = DAY_S
    negative_s: Seconds = 0.0

    @model_validator(mode="before")
    @classmethod
    def _on_top(cls, data: Any) -> Any:
        """Let a kind be given in part: what is left out stays as it is."""
        if not is_object(data):
            return data
        parts = {kind.value: data[kind.value] for kind in Volatility if is_object(data.get(kind.value))}
        return data | {name: asdict(BOUNDS[Volatility(name)]) | given for name, given in parts.items()}

    def bounds(self) -> Mapping[Volatility, Bounds]:
        """Return those of every kind."""
        given: Mapping[str, LifetimeSettings] = {kind.value: getattr(self, kind.value) for kind in Volatility}
        return {kind: given[kind.value].bounds() for kind in Volatility}


class EvictionSettings(Settings):
    """How much is kept.

    Attributes:
        max_entries: kept answers.
        max_bytes: their size together.
    """

    max_entries: Annotated[int, Field(ge=1)] = 10_000
    max_bytes: Annotated[int, Field(ge=1)] = 256 * MEBIBYTE


def _make_clean_end(settings: NoSettings, build: Build) -> AnswerCheck:  # noqa: ARG001
    return CleanEnd()


def _make_asked_format(settings: AskedFormatSettings, build: Build) -> AnswerCheck:  # noqa: ARG001
    if not settings.schemas:
        return AskedFormat()
    validators: Any = import_module("jsonschema.validators")
    nowhere: Any = import_module("referencing").Registry()  # else references are fetched from the network

    def validator(schema: Mapping[str, Any]) -> Validator:
        made = validators.validator_for(schema, default=validators.Draft202012Validator)
        made.check_schema(schema)
        valid: Validator = made(schema, registry=nowhere).is_valid
        return valid

    return AskedFormat(validator)


def _make_asked_language(settings: NoSettings, build: Build) -> AnswerCheck:  # noqa: ARG001
    return AskedLanguage()


def _make_declined(settings: NoSettings, build: Build) -> AnswerCheck:  # noqa: ARG001
    return Declined()


def _make_fixed(settings: FixedExpirySettings, build: Build) -> Expiry:  # noqa: ARG001
    return FixedExpiry(**settings.model_dump())


def _make_sliding(settings: SlidingExpirySettings, build: Build) -> Expiry:  # noqa: ARG001
    return SlidingExpiry(**settings.model_dump())


def _make_volatility(settings: VolatilityExpirySettings, build: Build) -> Expiry:  # noqa: ARG001
    kinds = {kind.value for kind in Volatility}
    return VolatilityExpiry(settings.bounds(), **settings.model_dump(exclude=kinds))


def _make_lru(settings: EvictionSettings, build: Build) -> Eviction:  # noqa: ARG001
    return LRU(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


def _make_gdsf(settings: EvictionSettings, build: Build) -> Eviction:  # noqa: ARG001
    return GDSF(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


def _make_s3fifo(settings: EvictionSettings, build: Build) -> Eviction:  # noqa: ARG001
    return S3FIFO(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


def _make_wtinylfu(settings: EvictionSettings, build: Build) -> Eviction:  # noqa: ARG001
    return WTinyLFU(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


def _make_adaptive(settings: EvictionSettings, build: Build) -> Eviction:  # noqa: ARG001
    return Adaptive(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the answer checks, the expiries "fixed", "sliding" and "volatility" and the eviction "lru"."""
    registry.add(ANSWER_CHECK, "clean_end", _make_clean_end, settings=NoSettings)
    registry.add(ANSWER_CHECK, "asked_format", _make_asked_format, settings=AskedFormatSettings, extra="batch")
    registry.add(ANSWER_CHECK, "asked_language", _make_asked_language, settings=NoSettings)
    registry.add(ANSWER_CHECK, "declined", _make_declined, settings=NoSettings)
    registry.add(EXPIRY, "fixed", _make_fixed, settings=FixedExpirySettings)
    registry.add(EXPIRY, "sliding", _make_sliding, settings=SlidingExpirySettings)
    registry.add(EXPIRY, "volatility", _make_volatility, settings=VolatilityExpirySettings)
    registry.add(EVICTION, "lru", _make_lru, settings=EvictionSettings)
    registry.add(EVICTION, "gdsf", _make_gdsf, settings=EvictionSettings)
    registry.add(EVICTION, "s3fifo", _make_s3fifo, settings=EvictionSettings)
    registry.add(EVICTION, "wtinylfu", _make_wtinylfu, settings=EvictionSettings)
    registry.add(EVICTION, "adaptive", _make_adaptive, settings=EvictionSettings)
