"""The typed registry: plugins add factories by kind and name, the runtime builds what the config names.

A `Kind` carries the protocol its components must satisfy, so `registry.build(STORE, …)` is typed as a
`Store` and a factory that returns something else is refused at start, not at the first request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from . import protocols
from .admission import protocols as admission
from .analysis import protocols as analysis
from .errors import ConfigError, ForebayError, MissingExtraError, PluginError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from .keys import Keyring
    from .telemetry import Telemetry

T = TypeVar("T")
S = TypeVar("S", bound=BaseModel)
Stability = Literal["stable", "beta", "alpha"]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of component, for example "store", and the protocol it must satisfy."""

    name: str
    protocol: type[T]


ANALYZER = Kind("analyzer", protocols.Analyzer)
CLASSIFIER = Kind("classifier", analysis.Classifier)
PREDICTOR = Kind("predictor", analysis.Predictor)
STREAM = Kind("stream", analysis.StreamAnalyzer)
STRATEGY = Kind("strategy", analysis.Strategist)
EMBEDDER = Kind("embedder", protocols.Embedder)
STORE = Kind("store", protocols.Store)
CONTEXT = Kind("context", protocols.ContextReader)
ACCEPTANCE = Kind("acceptance", protocols.Acceptance)
JUDGE = Kind("judge", protocols.Judge)
ANSWER_CHECK = Kind("answer_check", protocols.AnswerCheck)
ORDERING = Kind("ordering", admission.Ordering)
LIMIT = Kind("limit", admission.Limit)
SHEDDING = Kind("shedding", admission.Shedding)
PLACEMENT = Kind("placement", admission.Placement)
BATCH_FORMER = Kind("batch_former", admission.BatchFormer)
EXPIRY = Kind("expiry", protocols.Expiry)
EVICTION = Kind("eviction", protocols.Eviction)
COORDINATION = Kind("coordination", protocols.Coordination)
ENGINE = Kind("engine", protocols.Engine)
EXPORTER = Kind("exporter", protocols.Exporter)
COMMAND = Kind("command", protocols.Command)

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        ANALYZER,
        CLASSIFIER,
        PREDICTOR,
        STREAM,
        STRATEGY,
        EMBEDDER,
        STORE,
        CONTEXT,
        ACCEPTANCE,
        JUDGE,
        ANSWER_CHECK,
        ORDERING,
        LIMIT,
        SHEDDING,
        PLACEMENT,
        BATCH_FORMER,
        EXPIRY,
        EVICTION,
        COORDINATION,
        ENGINE,
        EXPORTER,
        COMMAND,
    )
}


class Settings(BaseModel):
    """Base of every component's settings: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoSettings(Settings):
    """For components that have nothing to set."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a factory may use besides its settings.

    Attributes:
        state_dir: folder this process may keep files in; it exists.
        keyring: signs what is kept.
        telemetry: where spans and metrics go.
        dimension: length of the configured embedder's vectors, 0 while there is none.
        embedder: the configured one, None while there is none.
        engine: the configured one, None while there is none.
        serves: this process takes requests; a command that only looks does not count as a worker.
    """

    state_dir: Path
    keyring: Keyring
    telemetry: Telemetry
    dimension: int = 0
    serves: bool = True
    embedder: protocols.Embedder | None = None
    engine: protocols.Engine | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """One registered factory, as `forebay plugins` lists it."""

    kind: str
    name: str
    plugin: str
    factory: Callable[[Any, Build], Any]
    settings: type[BaseModel]
    stability: Stability
    extra: str


class Registry:
    """All factories by kind and name."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Registered] = {}

    def add(
        self,
        kind: Kind[T],
        name: str,
        factory: Callable[[S, Build], T],
        *,
        settings: type[S],
        plugin: str,
        stability: Stability = "stable",
        extra: str = "",
    ) -> None:
        """Register a factory.

        Args:
            kind: what it makes.
            name: how the YAML names it.
            factory: called once with validated settings; may import optional packages.
            settings: pydantic model of its settings; derive it from `Settings`.
            plugin: name of the plugin, for messages.
            stability: shown by `forebay plugins`.
            extra: the pip extra that brings its optional packages.

        Raises:
            PluginError: the kind and name are taken.
        """
        taken = self._items.get((kind.name, name))
        if taken is not None:
            raise PluginError(plugin, f"{kind.name} {name!r} is already registered by plugin {taken.plugin!r}")
        self._items[kind.name, name] = Registered(kind.name, name, plugin, factory, settings, stability, extra)

    def registrar(self, plugin: str) -> Registrar:
        """Return what a plugin's `register_components` gets: this registry, with the plugin's name filled in."""
        return Registrar(self, plugin)

    def __iter__(self) -> Iterator[Registered]:
        return iter(sorted(self._items.values(), key=lambda item: (item.kind, item.name)))

    def names(self, kind: Kind[Any]) -> list[str]:
        """Return the registered names of a kind, sorted."""
        return sorted(name for of, name in self._items if of == kind.name)

    def build(self, kind: Kind[T], name: str, settings: Mapping[str, Any], build: Build, *, path: str = "") -> T:
        """Make the component that the config names.

        Args:
            path: the component's place in the config, for messages.

        Raises:
            ConfigError: the name is unknown or a setting is wrong.
            MissingExtraError: an optional package is missing.
            PluginError: the factory failed or made something else.
        """
        where = path or kind.name
        item = self._items.get((kind.name, name))
        if item is None:
            raise ConfigError(
                f"there is no {kind.name} named {name!r}.{did_you_mean(name, self.names(kind))}"
                " Is its plugin installed and listed under 'plugins'?",
                path=f"{where}.type",
            )
        try:
            parsed = item.settings.model_validate(dict(settings))
        except ValidationError as error:
            raise settings_error(error, item.settings, path=where) from None
        try:
            made = item.factory(parsed, build)
        except ImportError as error:
            if not item.extra:
                raise PluginError(item.plugin, f"cannot be imported: {error}") from error
            raise MissingExtraError(item.plugin, module=error.name or str(error), extra=item.extra) from error
        except ForebayError:
            raise
        except Exception as error:
            raise PluginError(
                item.plugin, f"the factory of {kind.name} {name!r} raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, kind.protocol):
            raise PluginError(
                item.plugin,
                f"the factory of {kind.name} {name!r} returned a {type(made).__name__}, which lacks "
                f"{', '.join(missing_members(made, kind.protocol))}",
            )
        return made


class Registrar:
    """A registry as one plugin sees it."""

    def __init__(self, registry: Registry, plugin: str) -> None:
        self._registry = registry
        self._plugin = plugin

    def add(
        self,
        kind: Kind[T],
        name: str,
        factory: Callable[[S, Build], T],
        *,
        settings: type[S],
        stability: Stability = "stable",
        extra: str = "",
    ) -> None:
        """Register a factory under a kind and name; see `Registry.add`."""
        self._registry.add(
            kind, name, factory, settings=settings, plugin=self._plugin, stability=stability, extra=extra
        )


def missing_members(made: object, protocol: type[Any]) -> list[str]:
    """Return the protocol's members that an object lacks."""
    # a protocol may be made of others: what they ask for it asks for, too
    parts = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False) and base is not Protocol]
    members = [name for part in parts for name in vars(part) if not name.startswith("_") or name == "__len__"]
    return [name for name in members if not hasattr(made, name)]


def settings_error(error: ValidationError, model: type[BaseModel], *, path: str, source: str = "") -> ConfigError:
    """Turn pydantic's first complaint into a `ConfigError` that names path, problem and nearest key."""
    first = error.errors(include_url=False)[0]
    place = ".".join([part for part in (path, *map(str, first["loc"])) if part])
    if first["type"] == "extra_forbidden":
        word = str(first["loc"][-1])
        return ConfigError(
            f"unknown key {word!r}.{did_you_mean(word, _fields_at(model, first['loc'][:-1]))}",
            path=place,
            source=source,
        )
    hidden = first["type"] == "missing" or _is_secret(model, first["loc"])
    shown = "" if hidden else f", got {first['input']!r}"
    return ConfigError(f"{first['msg']}{shown}", path=place, source=source)


def _is_secret(model: type[BaseModel], loc: tuple[int | str, ...]) -> bool:
    current: Any = model
    for part in loc:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return False
        info = current.model_fields.get(str(part))
        current = info.annotation if info is not None else None
        if "Secret" in repr(current):
            return True
    return False


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in loc:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return []
        info = current.model_fields.get(str(part))
        current = info.annotation if info is not None else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
