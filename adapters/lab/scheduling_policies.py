"""Policies by name, as the YAML names them, or as a config file has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from ...middleware import registry as kinds
from ...middleware.admission.tickets import Objective
from ...middleware.analysis.facts import Priority
from ...middleware.config import Config, load_config
from ...middleware.errors import ConfigError
from ...middleware.keys import Keyring
from ...middleware.plugin_manager import PluginManager
from ...middleware.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...middleware.admission.protocols import Limit, Ordering, Shedding
    from ...middleware.config import Spec
    from ...middleware.registry import Registry

DIRECT: Final = "direct"
_FILES: Final = frozenset({".yaml", ".yml", ".json"})
_KINDS: Final = ("ordering", "limit", "shedding")


@dataclass(frozen=True, slots=True)
class Contender:
    """Policies to measure.

    Attributes:
        make: makes those of one queue; None: nothing stands in front of the engine.
        max_queue, timeout_s: of each queue; a config file's, without one none.
        objectives: a config file's own, None without one.
    """

    name: str
    make: Callable[[], tuple[Ordering, Limit, Shedding | None]] | None = None
    max_queue: int | None = None
    timeout_s: float = math.inf
    objectives: Mapping[Priority, Objective] | None = None


def find_policies(words: str, folder: Path) -> list[Contender]:
    """Return the policies of a list with commas, ``direct`` first whether it is named or not.

    One is ``ORDERING+LIMIT`` or ``ORDERING+LIMIT+SHEDDING``, each with settings as ``:key=value``
    (``fcfs+fixed:max_inflight=96``), or a config file, of which ordering, limit, shedding and the queue's bounds are taken.

    Args:
        folder: where components may keep files.

    Raises:
        ConfigError: one is not known, or a setting is wrong.
    """
    plain = PluginManager.from_entry_points().registry
    found = [Contender(DIRECT)]
    for name in filter(None, map(str.strip, words.split(","))):
        if name == DIRECT:
            continue
        path = Path(name)
        one = _of_file(path, folder) if path.suffix in _FILES else _of_words(plain, name, folder)
        if one.make is not None:
            one.make()  # what is wrong with the settings is said before anything is simulated
        found.append(one)
    return found


def shipped() -> str:
    """Return the name of the policies that are used where nothing is configured and the engine's load is known."""
    config = Config()
    names = set(PluginManager.from_entry_points().registry.names(kinds.LIMIT))
    limit = "goodput" if config.limit.type == "none" and "goodput" in names else config.limit.type
    return "+".join([config.ordering.type, limit, *([config.shedding.type] if config.shedding else [])])


def objectives_of(config: Config) -> dict[Priority, Objective]:
    """Return the objectives that a config file gives the priority classes."""
    return {
        priority: Objective(given.ttft_s, given.tpot_s, given.total_s)
        for priority in Priority
        for given in (getattr(config.objectives, priority.value),)
    }


def _of_words(registry: Registry, name: str, folder: Path) -> Contender:
    parts = [_spec(name, part) for part in name.split("+")]
    if not 1 < len(parts) <= len(_KINDS):
        raise ConfigError(
            f"--policy: {name!r} is not ORDERING+LIMIT or ORDERING+LIMIT+SHEDDING, such as fcfs+fixed:max_inflight=96, nor a "
            "config file (*.yaml)"
        )
    return Contender(name, partial(_make, registry, [*parts, None][: len(_KINDS)], f"--policy {name}: ", folder))


def _spec(name: str, part: str) -> tuple[str, Mapping[str, Any]]:
    kind, *words = part.split(":")
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ConfigError(f"--policy: in {name!r}, settings are written :key=value")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--policy: in {name!r}, the value of {key!r} is not YAML") from None
    return kind, settings


def _of_file(path: Path, folder: Path) -> Contender:
    config = load_config(path)
    registry = PluginManager.from_entry_points(config.plugins).registry

    def named(spec: Spec | None) -> tuple[str, Mapping[str, Any]] | None:
        return None if spec is None else (spec.type, spec.settings)

    specs = [named(config.ordering), named(config.limit), named(config.shedding)]
    return Contender(
        path.name,
        partial(_make, registry, specs, f"{path}: ", folder),
        max_queue=config.admission.max_queue,
        timeout_s=config.admission.queue_timeout_s,
        objectives=objectives_of(config),
    )


def _make(
    registry: Registry, specs: list[tuple[str, Mapping[str, Any]] | None], where: str, folder: Path
) -> tuple[Ordering, Limit, Shedding | None]:
    build = kinds.Build(folder, Keyring.from_secret("nothing is signed here"), Telemetry(enabled=False), serves=False)
    ordering, limit, *rest = specs
    if ordering is None or limit is None:
        raise ConfigError(f"{where}an ordering and a limit are needed")
    made = rest[0] if rest else None
    return (
        registry.build(kinds.ORDERING, *ordering, build, path=f"{where}ordering"),
        registry.build(kinds.LIMIT, *limit, build, path=f"{where}limit"),
        None if made is None else registry.build(kinds.SHEDDING, *made, build, path=f"{where}shedding"),
    )
