"""One YAML file plus ``FOREBAY__…`` environment variables.

``${NAME}`` and ``${NAME:-default}`` in a value are replaced by the environment's text (``$${`` is a literal
``${``). ``FOREBAY__CACHE__SEMANTIC=serve`` overrides ``cache.semantic``; its value is read as YAML.
Unknown keys are errors that name the file, the path and the nearest known key.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigError
from .narrow import is_array, is_object
from .records import Mode
from .registry import settings_error

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "FOREBAY__"
SECRET_CHARS = 16
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


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
    none. ``replay_words_per_s`` paces the streams of kept answers; without it they are sent at once.
    """

    tenant: Annotated[tuple[TenantPart, ...], BeforeValidator(_one_or_many)] = ("narrowest",)
    similarity_header: bool = False
    billed_to: Annotated[str, Field(min_length=1)] | None = None
    replay_words_per_s: Annotated[float | None, Field(gt=0)] = None
    flight_deadline_s: Annotated[float, Field(gt=0)] = 600.0


class Config(_Section):
    """The whole configuration."""

    mode: ModeSetting = Mode.SERVE
    rules: tuple[Rule, ...] = ()
    state_dir: str = ".forebay"
    secret: str | None = None
    plugins: tuple[str, ...] = ()
    analyzer: Spec = _spec("basic")
    embedder: Spec = _spec("minilm")
    store: Spec = _spec("milvus")
    context: Spec = _spec("reading")
    acceptance: Spec = _spec("verified")
    judge: Spec = _spec("cascade")
    answer_checks: tuple[Spec, ...] = Field(default_factory=lambda: (Spec(type="clean_end"),))
    ordering: Spec = _spec("fcfs")
    limit: Spec = _spec("none")
    expiry: Spec = _spec("fixed")
    eviction: Spec = _spec("lru")
    coordination: Spec = _spec("local")
    engine: Spec | None = None
    cache: CacheConfig = CacheConfig()
    audits: AuditConfig = AuditConfig()
    admission: AdmissionConfig = AdmissionConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    background: BackgroundConfig = BackgroundConfig()
    litellm: LiteLLMConfig = LiteLLMConfig()

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
    data = _read(Path(path), env) if path is not None else {}
    return parse_config(data, environ=env, source=source)


def parse_config(
    data: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, source: str = "config"
) -> Config:
    """Validate settings given as a mapping, with the environment's overrides on top.

    Raises:
        ConfigError: a setting is wrong or unknown.
    """
    env = os.environ if environ is None else environ
    merged, overridden = _overridden(dict(data), env)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        loc = tuple(str(part) for part in error.errors(include_url=False)[0]["loc"])
        variable = next((name for name, path in overridden.items() if path[: len(loc)] == loc[: len(path)]), "")
        if loc == ("secret",):
            raise ConfigError(str(error.errors()[0]["msg"]), path="secret", source=variable or source) from None
        raise settings_error(error, Config, path="", source=variable or source) from None


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that is given twice; YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is given twice; keep one", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def _read(path: Path, env: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file; check FOREBAY_CONFIG or the path", source=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read as UTF-8 text: {error}", source=str(path)) from None
    try:
        loaded: Any = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "malformed"
        raise ConfigError(f"not YAML{at}: {problem}", source=str(path)) from None
    except ValueError as error:  # PyYAML: a date that does not exist, a number with too many digits
        raise ConfigError(f"holds a value that cannot be read ({error}); quote it", source=str(path)) from None
    if loaded is None:
        return {}
    if not is_object(loaded):
        raise ConfigError("must hold settings as 'key: value' lines", source=str(path))
    return {str(key): _expand(value, env, str(key), str(path)) for key, value in loaded.items()}


def _expand(value: Any, env: Mapping[str, str], path: str, source: str) -> Any:
    if is_object(value):
        return {str(key): _expand(item, env, f"{path}.{key}", source) for key, item in value.items()}
    if is_array(value):
        return [_expand(item, env, f"{path}.{index}", source) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "${"
        found = env.get(name)
        if not found and default is not None:
            return default
        if found is None:
            raise ConfigError(
                f"environment variable {name} is not set; set it or write ${{{name}:-default}}",
                path=path,
                source=source,
            )
        return found

    # stays text: numbers and booleans are read where a setting wants one, and a secret is not to be read at all
    return _VARIABLE.sub(replace, value)


def _overridden(data: dict[str, Any], env: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    used: dict[str, tuple[str, ...]] = {}
    for name in sorted(env):
        if not name.startswith(PREFIX):
            continue
        keys = tuple(part.lower() for part in name[len(PREFIX) :].split("__"))
        try:
            value = yaml.safe_load(env[name])
        except (yaml.YAMLError, ValueError):
            raise ConfigError("value is not YAML; quote it", source=name) from None
        node = data
        for key in keys[:-1]:
            below = node.get(key)
            node[key] = dict(below) if is_object(below) else {}
            node = node[key]
        node[keys[-1]] = value
        used[name] = keys
    return data, used
