from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.fallback import MilvusOrMemory
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.errors import ConfigError, MissingExtraError
from forebay.middleware.keys import Keyring
from forebay.middleware.protocols import Component, Scannable
from forebay.middleware.registry import STORE, Build, Registry
from forebay.plugins import stores

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.middleware.protocols import Store


def build(tmp_path: Path, name: str, *, serves: bool = True, **settings: Any) -> Store:
    registry = Registry()
    stores.register_components(registry.registrar("stores"))
    telemetry: Any = None
    keyring = Keyring.from_secret("0123456789abcdef")
    made = Build(state_dir=tmp_path, keyring=keyring, telemetry=telemetry, dimension=4, serves=serves)
    return registry.build(STORE, name, settings, made, path="store")


def test_memory(tmp_path: Path) -> None:
    assert isinstance(build(tmp_path, "memory"), MemoryStore)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, MilvusOrMemory),
        ({"uri": "some/cache.db"}, MilvusOrMemory),
        ({"on_busy": "error"}, HotTier),
        ({"on_busy": "error", "hot": {"enabled": False}}, MilvusStore),
        ({"uri": "https://milvus.example:19530", "token": "root:Milvus"}, HotTier),
        ({"uri": "https://milvus.example:19530", "hot": {"max_bytes": 0, "int8": True}}, HotTier),
    ],
)
def test_milvus(tmp_path: Path, settings: dict[str, Any], kind: type) -> None:
    store = build(tmp_path, "milvus", **settings)
    assert type(store) is kind
    assert isinstance(store, Component)
    assert isinstance(store, Scannable)


def test_a_command_that_only_looks_has_no_hot_tier(tmp_path: Path) -> None:
    assert type(build(tmp_path, "milvus", serves=False, on_busy="error")) is MilvusStore


def test_milvus_keeps_its_file_in_state_dir(tmp_path: Path) -> None:
    store: Any = build(tmp_path, "milvus")

    async def start_and_stop() -> None:
        await store.start()
        await store.stop()

    asyncio.run(start_and_stop())
    assert (tmp_path / "cache.db").is_dir()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"uri": "ftp://milvus"}, "store.uri: .*must start with http"),
        ({"uri": ""}, "store.uri"),
        ({"collection": "no-dashes"}, "store.collection"),
        ({"timeout_s": 0}, "store.timeout_s"),
        ({"on_busy": "crash"}, "store.on_busy"),
        ({"hot": {"max_bytes": -1}}, "store.hot.max_bytes"),
        ({"hot": {"int9": True}}, "Did you mean 'int8'"),
        ({"collecton": "x"}, "Did you mean 'collection'"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, "milvus", **settings)


def test_milvus_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("forebay.adapters.milvus.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'forebay\[milvus\]'"):
        build(tmp_path, "milvus")
