from __future__ import annotations

import asyncio
import contextlib
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
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.from_secret("a secret for tests only")


@contextlib.asynccontextmanager
async def served(database: Path) -> AsyncGenerator[Relay]:
    """A database behind a TCP port."""
    lite = await asyncio.to_thread(LiteServer.open, database)
    try:
        async with Relay(lite.uri) as relay:
            yield relay
    finally:
        await asyncio.to_thread(lite.close)


async def prepare(place: Path | str, keyring: Keyring) -> None:
    store = MilvusStore(place, keyring, dimension=DIMENSION)
    await store.start()
    await store.stop()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, keyring: Keyring) -> dict[str, Path]:
    """Databases with an empty collection: making one takes pymilvus half a second."""
    folder = tmp_path_factory.mktemp("prepared")
    paths = {kind: folder / f"{kind}.db" for kind in ("lite", "server")}

    async def prepare_both() -> None:
        await prepare(paths["lite"], keyring)
        async with served(paths["server"]) as relay:
            await prepare(relay.uri, keyring)

    asyncio.run(prepare_both())
    return paths


@pytest.fixture
def database(tmp_path: Path, prepared: dict[str, Path]) -> Path:
    """A database with a collection as a store on a Milvus Lite file makes it."""
    shutil.copytree(prepared["lite"], tmp_path / "cache.db")
    return tmp_path / "cache.db"


@pytest.fixture
async def store(database: Path, keyring: Keyring) -> AsyncIterator[MilvusStore]:
    """A started store on a Milvus Lite database."""
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def relay(tmp_path: Path, prepared: dict[str, Path]) -> AsyncIterator[Relay]:
    """Milvus behind a TCP port: what a store takes for a server, with a collection as it makes it there."""
    shutil.copytree(prepared["server"], tmp_path / "server.db")
    async with served(tmp_path / "server.db") as relay:
        yield relay


@pytest.fixture
async def older(database: Path) -> AsyncIterator[Relay]:
    """A server whose collection has one vector."""
    async with served(database) as relay:
        yield relay


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
