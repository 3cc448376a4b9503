"""Which components a config chooses, checked without making them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from .. import registry as kinds
from ..errors import ConfigError, did_you_mean
from ..registry import Kind, settings_error

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..config import Config, Spec
    from ..registry import Registered, Registry

_REQUIREMENT: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?")
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A component that the config names.

    Attributes:
        place: dotted path in the config.
        item: what is registered under its name.
        settings: its validated settings.
    """

    place: str
    item: Registered
    settings: BaseModel


def places(config: Config) -> list[tuple[str, Kind[Any], Spec]]:
    """Return every component that a config names: path, kind and name with settings."""
    found: list[tuple[str, Kind[Any], Spec]] = [
        ("analyzer", kinds.ANALYZER, config.analyzer),
        *((f"classifiers.{spec.type}", kinds.CLASSIFIER, spec) for spec in config.classifiers),
        *((f"predictors.{spec.type}", kinds.PREDICTOR, spec) for spec in config.predictors),
        *((f"stream.{spec.type}", kinds.STREAM, spec) for spec in config.stream),
        ("strategy", kinds.STRATEGY, config.strategy),
        ("embedder", kinds.EMBEDDER, config.embedder),
        ("store", kinds.STORE, config.store),
        ("context", kinds.CONTEXT, config.context),
        ("acceptance", kinds.ACCEPTANCE, config.acceptance),
        ("judge", kinds.JUDGE, config.judge),
        *((f"answer_checks.{index}", kinds.ANSWER_CHECK, spec) for index, spec in enumerate(config.answer_checks)),
        ("ordering", kinds.ORDERING, config.ordering),
        ("limit", kinds.LIMIT, config.limit),
        ("expiry", kinds.EXPIRY, config.expiry),
        ("eviction", kinds.EVICTION, config.eviction),
        ("coordination", kinds.COORDINATION, config.coordination),
    ]
    if config.engine is not None:
        found.append(("engine", kinds.ENGINE, config.engine))
    if config.telemetry.exporter is not None:
        found.append(("telemetry.exporter", kinds.EXPORTER, config.telemetry.exporter))
    return found


def chosen(config: Config, registry: Registry, *, source: str = "") -> list[Chosen]:
    """Return what a config chooses, in the order of the stops. Runs no factory.

    Args:
        source: file to name in messages.

    Raises:
        ConfigError: a name is not registered, or a setting is wrong.
    """
    items = {(item.kind, item.name): item for item in registry}
    found: list[Chosen] = []
    for place, kind, spec in places(config):
        item = items.get((kind.name, spec.type))
        if item is None:
            raise ConfigError(
                f"there is no {kind.name} named {spec.type!r}.{did_you_mean(spec.type, registry.names(kind))} "
                "Is its plugin installed and listed under 'plugins'?",
                path=f"{place}.type",
                source=source,
            )
        try:
            settings = item.settings.model_validate(dict(spec.settings))
        except ValidationError as error:
            raise settings_error(error, item.settings, path=place, source=source) from None
        found.append(Chosen(place, item, settings))
    return found


def missing_packages(extra: str, distribution: str = "forebay") -> list[str]:
    """Return the distributions that an extra needs and that are not installed."""
    missing: list[str] = []
    for requirement in _requirements(distribution):
        wanted = _EXTRA.search(requirement)
        match = _REQUIREMENT.match(requirement)
        if wanted is None or wanted.group(1) != extra or match is None:
            continue
        name = match.group("name")
        if name == distribution:  # an extra made of others
            for part in (match.group("extras") or "").split(","):
                missing.extend(missing_packages(part.strip(), distribution))
        elif installed(name) is None:
            missing.append(name)
    return sorted(set(missing))


def installed(name: str) -> str | None:
    """Return the installed version of a distribution, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _requirements(distribution: str) -> list[str]:
    try:
        return requires(distribution) or []
    except PackageNotFoundError:  # run from a source tree without metadata: nothing is known to be missing
        return []
