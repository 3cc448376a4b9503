"""One YAML file plus ``FOREBAY__…`` environment variables.

``${NAME}`` and ``${NAME:-default}`` in a value are replaced by the environment's text (``$${`` is a literal
``${``). ``FOREBAY__CACHE__SEMANTIC=serve`` overrides ``cache.semantic``; its value is read as YAML.
Unknown keys are errors that name the file, the path and the nearest known key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from .config_file import overridden, read_yaml
from .errors import ConfigError
from .narrow import is_array, is_object
from .records import Mode
from .registry import settings_error

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_CHARS = 16
_SECRETS: Final = (("secret",), ("front", "admin_key"))


def _read_off(value: object) -> object:
    return Mode.OFF if value is False else value  # YAML takes a bare `off` for false


ModeSetting = Annotated[Mode, BeforeValidator(_read_off)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spec(BaseModel):
    """A component by name; the other keys are its settings and are checked by the component itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str

    @property
    def settings(self) -> Mapping[str, Any]:
        """The component's own settings."""
        return self.__pydantic_extra__ or {}


def _spec(name: str) -> Any:
    return Field(default_factory=lambda: Spec(type=name))


NAMED: Final = {
    "classifiers": ("profile", "priority", "volatility"),
    "predictors": ("fingerprint", "neighbours", "length", "work", "difficulty"),
    "stream": ("pattern", "forecast"),
}
"""Several components by name, in the order they run. Given is a mapping of name to settings on top of these: a name that is
new is added behind them, ``off`` leaves one out."""


def _specs(field: str) -> Any:
    return Field(default_factory=lambda: tuple(Spec(type=name) for name in NAMED[field]))


def _in_order(field: str, given: Mapping[Any, Any]) -> tuple[dict[str, Any], ...]:
    """Return the components of a field as specs.

    Raises:
        ValueError: one is given as something else than its settings or ``off``.
    """
    settings: dict[str, Any] = {name: {} for name in NAMED[field]}
    for name, its in given.items():
        if its is False or its == "off":
            settings.pop(str(name), None)
        elif its is None or is_object(its):
            settings[str(name)] = its or {}
        else:
            msg = f"{field}.{name} must hold settings as 'key: value' lines, or be 'off'"
            raise ValueError(msg)
    return tuple({**its, "type": name} for name, its in settings.items())


class Rule(_Section):
    """A mode for some requests; the first rule that matches wins.

    Patterns are shell-style (``gpt-*``); ``percent`` is the share of tenants the mode holds for, chosen by a
    stable hash, and the rest get ``shadow``.
    """

    model: str = "*"
    tenant: str = "*"
    endpoint: str = "*"
    mode: ModeSetting
    percent: Annotated[float, Field(ge=0, le=100)] = 100.0


class ObjectiveConfig(_Section):
    """What a request of one priority class shall be answered within; `null` is no objective.

    ``ttft_s`` is from arrival to the first token, ``tpot_s`` for each token after it (both of streams), ``total_s`` from
    arrival to the end.
    """

    ttft_s: Annotated[float | None, Field(gt=0)] = None
    tpot_s: Annotated[float | None, Field(gt=0)] = None
    total_s: Annotated[float | None, Field(gt=0)] = None


class ObjectivesConfig(_Section):
    """Latency objectives by priority class; goodput is the share of requests that met theirs."""

    interactive: ObjectiveConfig = ObjectiveConfig(ttft_s=2.0, tpot_s=0.1)
    standard: ObjectiveConfig = ObjectiveConfig(ttft_s=5.0, tpot_s=0.2)
    batch: ObjectiveConfig = ObjectiveConfig(total_s=300.0)
    background: ObjectiveConfig = ObjectiveConfig()


class AnalysisConfig(_Section):
    """Request analysis: a classifier, predictor, stream analyzer or strategy that takes longer than the budget gives nothing."""

    budget_ms: Annotated[float, Field(gt=0)] = 20.0


class CacheConfig(_Section):
    """The lookup and settle stops."""

    exact: ModeSetting = Mode.SERVE
    semantic: ModeSetting = Mode.SERVE
    lookup_deadline_ms: Annotated[float, Field(gt=0)] = 300.0
    neighbours: Annotated[int, Field(ge=1, le=100)] = 5
    twins: bool = True
    twin_wait_s: Annotated[float, Field(gt=0)] = 60.0


class AuditConfig(_Section):
    """Audits of semantic hits: which of them a judge looks at is the acceptance policy's choice, within this budget."""

    enabled: bool = True
    per_hour: Annotated[int, Field(ge=0)] = 600


class AdmissionConfig(_Section):
    """The admit stop: how many may wait in front of each deployment, and how long."""

    max_queue: Annotated[int, Field(ge=0)] = 1000
    queue_timeout_s: Annotated[float, Field(gt=0)] = 60.0


class TelemetryConfig(_Section):
    """Spans and metrics. The exporter is used only where the host process has no tracer provider of its own."""

    enabled: bool = True
    exporter: Spec | None = None
    shutdown_timeout_s: Annotated[float, Field(gt=0, le=30)] = 2.0
    trust_inbound_traceparent: bool = True


class BackgroundConfig(_Section):
    """Budget of the background caller: engine calls nobody waits for."""

    max_concurrent: Annotated[int, Field(ge=0)] = 1
    calls_per_minute: Annotated[int, Field(ge=0)] = 30


TenantPart = Literal["narrowest", "key", "user", "team", "organization", "end_user"]


def _one_or_many(value: object) -> object:
    if is_array(value) and "narrowest" in value and len(value) > 1:
        msg = "'narrowest' stands alone: it takes all that are known"
        raise ValueError(msg)
    return (value,) if isinstance(value, str) else value


class LiteLLMConfig(_Section):
    """The LiteLLM callback.

    ``tenant`` names the parts of the authenticated identity that separate caches; ``narrowest`` takes all that are
    known. ``billed_to`` is the hash of the virtual key that background calls are accounted to; without it the proxy makes
    none. ``replay_words_per_s`` paces the streams of kept answers; without it they are sent at once. ``shed: fallback`` lets a
    request that one deployment's queue refuses go through LiteLLM's retries and fallbacks.
    """

    tenant: Annotated[tuple[TenantPart, ...], BeforeValidator(_one_or_many)] = ("narrowest",)
    similarity_header: bool = False
    billed_to: Annotated[str, Field(min_length=1)] | None = None
    replay_words_per_s: Annotated[float | None, Field(gt=0)] = None
    flight_deadline_s: Annotated[float, Field(gt=0)] = 600.0
    shed: Literal["refuse", "fallback"] = "refuse"


class FrontConfig(_Section):
    """The ASGI front, in a server's own process or before another one.

    ``auth_path`` is asked with a caller's headers to learn whether the server accepts them, which is then remembered for
    ``auth_ttl_s``. ``tenant_header`` names a header that a trusted gateway sets; without it, or where it is missing, tenants
    are told apart by their credentials. Requests with a longer body than ``body_limit_bytes`` pass through. ``background_api_key``
    is sent with calls nobody waits for (audits), "" for a server that wants none; without it none are made. ``admin_key`` lets
    whoever sends it drop kept answers; without it nobody can over HTTP.
    """

    auth_path: Annotated[str, Field(pattern="^/")] = "/v1/models"
    auth_ttl_s: Annotated[float, Field(ge=0)] = 30.0
    tenant_header: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")] | None = None
    body_limit_bytes: Annotated[int, Field(ge=0)] = 8 * 1024 * 1024
    background_api_key: str | None = None
    admin_key: Annotated[str, Field(min_length=SECRET_CHARS)] | None = None


class Config(_Section):
    """The whole configuration."""

    mode: ModeSetting = Mode.SERVE
    rules: tuple[Rule, ...] = ()
    state_dir: str = ".forebay"
    secret: str | None = None
    plugins: tuple[str, ...] = ()
    analyzer: Spec = _spec("basic")
    classifiers: tuple[Spec, ...] = _specs("classifiers")
    predictors: tuple[Spec, ...] = _specs("predictors")
    stream: tuple[Spec, ...] = _specs("stream")
    strategy: Spec = _spec("rules")
    objectives: ObjectivesConfig = ObjectivesConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    embedder: Spec = _spec("minilm")
    store: Spec = _spec("milvus")
    context: Spec = _spec("reading")
    acceptance: Spec = _spec("verified")
    judge: Spec = _spec("cascade")
    answer_checks: tuple[Spec, ...] = Field(default_factory=lambda: (Spec(type="clean_end"),))
    ordering: Spec = _spec("composed")
    limit: Spec = _spec("none")
    shedding: Spec | None = None
    placement: Spec | None = _spec("prefix")
    expiry: Spec = _spec("volatility")
    eviction: Spec = _spec("adaptive")
    coordination: Spec = _spec("local")
    engine: Spec | None = None
    cache: CacheConfig = CacheConfig()
    audits: AuditConfig = AuditConfig()
    admission: AdmissionConfig = AdmissionConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    background: BackgroundConfig = BackgroundConfig()
    litellm: LiteLLMConfig = LiteLLMConfig()
    front: FrontConfig = FrontConfig()

    @model_validator(mode="before")
    @classmethod
    def _default_types(cls, data: Any) -> Any:
        """Let ``store: {uri: …}`` or FOREBAY__STORE__URI mean the default store's setting."""
        if not is_object(data):
            return data
        filled = dict(data)
        for name, info in cls.model_fields.items():
            given = filled.get(name)
            default = info.get_default(call_default_factory=True)
            if isinstance(default, Spec) and is_object(given) and "type" not in given:
                filled[name] = {"type": default.type, **given}
            if name in NAMED and is_object(given):
                filled[name] = _in_order(name, given)
        return filled

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: str | None) -> str | None:
        if value is not None and len(value) < SECRET_CHARS:
            # the value itself must not appear in the message
            msg = f"needs at least {SECRET_CHARS} characters; leave it out and forebay makes one in state_dir"
            raise ValueError(msg)
        return value


def load_config(path: str | Path | None = None, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read a config file (all defaults where there is none) and the environment.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds a wrong or unknown setting.
    """
    env = os.environ if environ is None else environ
    source = str(path) if path is not None else "defaults"
    data = read_yaml(Path(path), env) if path is not None else {}
    return parse_config(data, environ=env, source=source)


def parse_config(
    data: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, source: str = "config"
) -> Config:
    """Validate settings given as a mapping, with the environment's overrides on top.

    Raises:
        ConfigError: a setting is wrong or unknown.
    """
    env = os.environ if environ is None else environ
    merged, set_by = overridden(dict(data), env)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        loc = tuple(str(part) for part in error.errors(include_url=False)[0]["loc"])
        variable = next((name for name, path in set_by.items() if path[: len(loc)] == loc[: len(path)]), "")
        if loc in _SECRETS:  # the value itself must not appear in the message
            raise ConfigError(str(error.errors()[0]["msg"]), path=".".join(loc), source=variable or source) from None
        raise settings_error(error, Config, path="", source=variable or source) from None
