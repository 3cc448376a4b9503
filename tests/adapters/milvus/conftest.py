from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.milvus.connection import Connection
from forebay.adapters.milvus.lite import LiteServer
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.keys import Keyring
from tests.adapters.milvus.relay import Relay
from tests.contract.entries import DIMENSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.from_secret("a secret for tests only")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, keyring: Keyring) -> Path:
    """A database with an empty collection: making one takes pymilvus half a second."""
    path = tmp_path_factory.mktemp("prepared") / "cache.db"

    async def prepare() -> None:
        store = MilvusStore(path, keyring, dimension=DIMENSION)
        await store.start()
        await store.stop()

    asyncio.run(prepare())
    return path


@pytest.fixture
def database(tmp_path: Path, prepared: Path) -> Path:
    """A copy of `prepared`."""
    shutil.copytree(prepared, tmp_path / "cache.db")
    return tmp_path / "cache.db"


@pytest.fixture
async def store(database: Path, keyring: Keyring) -> AsyncIterator[MilvusStore]:
    """A started store on a Milvus Lite database."""
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def relay(database: Path) -> AsyncIterator[Relay]:
    """Milvus behind a TCP port: what a store takes for a server."""
    lite = await asyncio.to_thread(LiteServer.open, database)
    try:
        async with Relay(lite.uri) as relay:
            yield relay
    finally:
        await asyncio.to_thread(lite.close)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that stores have called, in order."""
    methods: list[str] = []
    call = Connection.call

    async def noted(self: Connection, method: str, *args: Any, **arguments: Any) -> Any:
        methods.append(method)
        return await call(self, method, *args, **arguments)

    monkeypatch.setattr(Connection, "call", noted)
    return methods
