"""The built-in policies of the settle stop: what is kept, for how long, and what has to go."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ANSWER_CHECK, EVICTION, EXPIRY, Build, NoSettings, Registrar, Settings
from ..policies.answer_checks.asked_format import AskedFormat
from ..policies.answer_checks.asked_language import AskedLanguage
from ..policies.answer_checks.clean_end import CleanEnd
from ..policies.answer_checks.declined import Declined
from ..policies.eviction.lru import LRU, MEBIBYTE
from ..policies.expiry.fixed import DAY_S, HOUR_S, FixedExpiry

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


def _make_lru(settings: LRUSettings, build: Build) -> Eviction:  # noqa: ARG001
    return LRU(max_entries=settings.max_entries, max_bytes=settings.max_bytes)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the answer checks, the expiry "fixed" and the eviction "lru"."""
    registry.add(ANSWER_CHECK, "clean_end", _make_clean_end, settings=NoSettings)
    registry.add(ANSWER_CHECK, "asked_format", _make_asked_format, settings=AskedFormatSettings, extra="batch")
    registry.add(ANSWER_CHECK, "asked_language", _make_asked_language, settings=NoSettings)
    registry.add(ANSWER_CHECK, "declined", _make_declined, settings=NoSettings)
    registry.add(EXPIRY, "fixed", _make_fixed, settings=FixedExpirySettings)
    registry.add(EVICTION, "lru", _make_lru, settings=LRUSettings)
