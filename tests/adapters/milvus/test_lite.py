"""The Milvus Lite file: it outlives the process and belongs to one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.connection import Connection
from forebay.adapters.milvus.fallback import MilvusOrMemory
from forebay.adapters.milvus.lite import LiteServer
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.errors import StoreBusyError, StoreError, StoreMismatchError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Selector
from tests.contract.entries import DIMENSION, digest, make_entry, query_of
from tests.contract.store import assert_same

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HOLDER = """
import sys
from pathlib import Path
from forebay.adapters.milvus.lite import LiteServer
server = LiteServer.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
server.close()
"""


@contextlib.asynccontextmanager
async def another_process(database: Path) -> AsyncGenerator[None]:
    """Another process that has the database open."""
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(database), stdin=pipe, stdout=pipe, env={"PATH": os.environ["PATH"]}
    )
    assert holder.stdout is not None
    try:
        assert await holder.stdout.readline() == b"open\n"
        yield
    finally:
        # ends its input, and so the process
        await holder.communicate(b"")


def overwrite(folder: Path, name: str, text: str) -> None:
    for path in folder.rglob(name):
        path.write_text(text)


async def search_of(store: MilvusStore, dimension: int) -> list[str]:
    vector = (1.0,) + (0.0,) * (dimension - 1)
    return [found.entry.question for found in await store.search(query_of(make_entry(), vector))]


async def test_entries_and_counts_survive_a_restart(database: Path, keyring: Keyring) -> None:
    entry = make_entry()
    for expected in (0, 1, 1):
        store = MilvusStore(database, keyring, dimension=DIMENSION)
        await store.start()
        assert [await store.count(), await store.count(entry.scope)] == [expected, expected]
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)
        assert await search_of(store, DIMENSION) == [entry.question]
        await store.stop()


async def test_the_socket_is_for_this_user_alone_and_goes_away(database: Path) -> None:
    lite = await asyncio.to_thread(LiteServer.open, database)
    folder = Path(lite.uri.removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await asyncio.to_thread(lite.close)
    assert not folder.exists()


async def test_another_process_has_the_file(database: Path, keyring: Keyring) -> None:
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    async with another_process(database):
        with pytest.raises(StoreBusyError, match="use a Milvus server"):
            await store.start()
        with pytest.raises(StoreBusyError):
            await store.get(digest("any"))
        (health,) = await store.check_ready()
        assert not health.ok
    # the other one is gone, so this one takes over
    await store.reset()
    await store.put(make_entry())
    await store.stop()


@pytest.mark.parametrize("hot", [False, True])
async def test_in_memory_while_another_process_has_the_file(
    database: Path, keyring: Keyring, caplog: pytest.LogCaptureFixture, *, hot: bool
) -> None:
    milvus = MilvusStore(database, keyring, dimension=DIMENSION)
    store = MilvusOrMemory(HotTier(milvus) if hot else milvus, MemoryStore())
    entry = make_entry()
    async with another_process(database):
        await store.start()
        (record,) = caplog.records
        assert "in use by another process" in record.message
        assert record.exc_info is None
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)
        assert len(await store.search(query_of(entry))) == 1
        assert [found async for found in store.scan(Selector())] == [entry]
        assert await store.count(entry.scope) == 1
        (health,) = await store.check_ready()
        assert (health.ok, health.required) == (False, False)
        assert "1 entries" in health.detail
        assert "http://HOST:19530" in health.fix
        with pytest.raises(StoreBusyError):
            await store.reset()
        assert await store.delete(Selector()) == 1
        await store.stop()


@pytest.mark.parametrize("hot", [False, True])
async def test_milvus_where_nobody_has_the_file(database: Path, keyring: Keyring, *, hot: bool) -> None:
    milvus = MilvusStore(database, keyring, dimension=DIMENSION)
    store = MilvusOrMemory(HotTier(milvus) if hot else milvus, MemoryStore())
    await store.start()
    await store.put(make_entry())
    (health,) = await store.check_ready()
    assert health.ok
    await store.reset()
    assert await store.count() == 0
    assert store.damaged == 0
    await store.stop()


async def test_two_stores_of_one_process_do_not_share_a_file(
    store: MilvusStore, database: Path, keyring: Keyring
) -> None:
    second = MilvusStore(database, keyring, dimension=DIMENSION)
    with pytest.raises(StoreBusyError):
        await second.start()
    await second.stop()
    await store.put(make_entry())


async def test_a_file_of_something_else(tmp_path: Path, keyring: Keyring) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"SQLite format 3\0")
    store = MilvusStore(path, keyring, dimension=DIMENSION)
    with pytest.raises(StoreError, match="move it away"):
        await store.start()
    await store.stop()


async def test_a_folder_that_cannot_be_made(tmp_path: Path, keyring: Keyring) -> None:
    (tmp_path / "file").touch()
    store = MilvusStore(tmp_path / "file" / "cache.db", keyring, dimension=DIMENSION)
    with pytest.raises(StoreError, match="cannot be made"):
        await store.start()
    await store.stop()


async def test_another_dimension_and_reset(database: Path, keyring: Keyring) -> None:
    store = MilvusStore(database, keyring, dimension=8)
    with pytest.raises(StoreMismatchError) as refused:
        await store.start()
    message = str(refused.value)
    assert all(part in message for part in ("forebay_v2", " 4 ", " 8", "store.collection", "forebay cache clear"))
    # a failed start lets go of the file
    lite = await asyncio.to_thread(LiteServer.open, database)
    await asyncio.to_thread(lite.close)
    await store.reset()
    entry = make_entry(vector=(1.0,) + (0.0,) * 7)
    await store.put(entry)
    assert await search_of(store, 8) == [entry.question]
    await store.stop()


async def test_a_damaged_database(database: Path, keyring: Keyring) -> None:
    overwrite(database, "schema.json", "{")
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    with pytest.raises(StoreError):
        await store.start()
    await store.stop()


async def test_counts_are_right_after_a_write_that_failed_too_late(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(make_entry(question="one"))
    call = Connection.call

    async def call_and_fail(self: Connection, method: str, *args: Any, **arguments: Any) -> Any:
        await call(self, method, *args, **arguments)
        raise StoreError("no answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "call", call_and_fail)
        with pytest.raises(StoreError):
            await store.put(make_entry(question="two"))
    assert [await store.count(), await store.count(digest("scope"))] == [2, 2]


async def test_calls_after_stop_fail(database: Path, keyring: Keyring) -> None:
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    await store.start()
    await store.stop()
    with pytest.raises(StoreError, match="stopped"):
        await store.get(digest("any"))
    await store.stop()


async def test_stop_while_it_opens_lets_go_of_the_file(database: Path, keyring: Keyring) -> None:
    store = MilvusStore(database, keyring, dimension=DIMENSION)
    starting = asyncio.create_task(store.start())
    await asyncio.sleep(0)
    await store.stop()
    with contextlib.suppress(StoreError):
        await starting
    lite = await asyncio.to_thread(LiteServer.open, database)
    await asyncio.to_thread(lite.close)
