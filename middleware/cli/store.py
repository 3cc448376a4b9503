"""Opens the configured store for one command, without anything else of a runtime."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry as kinds
from ..errors import ForebayError, StoreBusyError
from ..keys import Keyring
from ..protocols import Component, Scannable
from ..records import Mode
from ..registry import Build
from ..telemetry import Telemetry
from .components import chosen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..config import Config
    from ..plugin_manager import PluginManager
    from ..protocols import Coordination, Embedder, Store


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store.

    Attributes:
        keyring: its entries are signed with it.
        embedder: the configured one, not started; None where the semantic tier is off.
    """

    store: Store
    keyring: Keyring
    embedder: Embedder | None = None

    @property
    def embedder_id(self) -> str:
        """Id of the configured embedder, "" where there is none."""
        return self.embedder.model_id if self.embedder is not None else ""


def state_dir_of(config: Config) -> Path:
    """Return the state folder.

    Raises:
        ForebayError: there is none, so nothing was ever kept there.
    """
    path = Path(config.state_dir).expanduser().resolve()
    if not path.is_dir():
        raise ForebayError(
            f"there is no state folder {path}: no process has run with this config here; "
            "go to the folder it runs in, or name its config with --config"
        )
    return path


def keyring_of(config: Config) -> Keyring:
    """Return the keyring of a config.

    Raises:
        ForebayError: there is none yet.
    """
    return Keyring.from_secret(config.secret) if config.secret else Keyring.from_state_dir(state_dir_of(config))


class OutOfReachError(ForebayError):
    """The answers are inside another process."""


@asynccontextmanager
async def coordinated(config: Config, plugins: PluginManager) -> AsyncGenerator[Coordination]:
    """Open the configured coordination for a command, which is no worker.

    Raises:
        ForebayError: there is no state folder yet.
        CoordinationError: it cannot be reached.
    """
    build = Build(state_dir_of(config), keyring_of(config), Telemetry(enabled=False), serves=False)
    spec = config.coordination
    made = plugins.registry.build(kinds.COORDINATION, spec.type, spec.settings, build, path="coordination")
    part: object = made
    try:
        if isinstance(part, Component):
            await part.start()
        yield made
    finally:
        if isinstance(part, Component):
            await part.stop()


@asynccontextmanager
async def started(embedder: Embedder | None) -> AsyncGenerator[Embedder]:
    """Start an embedder for one command.

    Raises:
        ForebayError: there is none, or it cannot work.
    """
    if embedder is None:
        raise ForebayError("cache.semantic is off, so no embedder is configured: set it to shadow or serve")
    part: object = embedder
    try:
        if isinstance(part, Component):
            await part.start()
        yield embedder
    finally:
        if isinstance(part, Component):
            await part.stop()


def scannable(store: Store, config: Config) -> Scannable:
    """Return the store as one whose entries can be listed.

    Raises:
        ForebayError: it is none.
    """
    if not isinstance(store, Scannable):
        raise ForebayError(f"the store {config.store.type!r} cannot list its entries")
    return store


@asynccontextmanager
async def opened_store(
    config: Config, plugins: PluginManager, *, dimension: int | None = None
) -> AsyncGenerator[Opened]:
    """Open the configured store.

    The embedder is asked for its dimension and not started, so no model is loaded.

    Args:
        dimension: length of the kept vectors, where the configured embedder makes others.

    Raises:
        OutOfReachError: the store lives inside another process, or is held by one.
        ForebayError: it cannot be reached.
    """
    if config.store.type == "memory":
        raise OutOfReachError(
            "the store 'memory' lives inside the process that serves; it cannot be looked into from here. "
            "Restart that process to empty it, or configure the store 'milvus'"
        )
    keyring = keyring_of(config)
    state_dir = state_dir_of(config)
    telemetry = Telemetry(enabled=False)
    items = {each.place: each for each in chosen(config, plugins.registry)}
    embedder: Embedder | None = None
    if config.cache.semantic is not Mode.OFF:
        build = Build(state_dir, keyring, telemetry, serves=False)
        spec = config.embedder
        embedder = plugins.registry.build(kinds.EMBEDDER, spec.type, spec.settings, build, path="embedder")
    if dimension is None:
        dimension = embedder.dimension if embedder is not None else 0
    settings: dict[str, Any] = dict(config.store.settings)
    if "on_busy" in items["store"].item.settings.model_fields:
        settings["on_busy"] = "error"  # a store of our own in memory would answer about nothing
    build = Build(state_dir, keyring, telemetry, dimension, serves=False)
    store = plugins.registry.build(kinds.STORE, config.store.type, settings, build, path="store")
    try:
        try:
            if isinstance(store, Component):
                await store.start()
        except StoreBusyError as error:
            raise OutOfReachError(str(error)) from None
        yield Opened(store, keyring, embedder)
    finally:
        if isinstance(store, Component):
            await store.stop()
