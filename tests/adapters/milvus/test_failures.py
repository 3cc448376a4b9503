"""A server that is not there, hangs, goes away and comes back."""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.milvus import connection, driver
from forebay.adapters.milvus.store import DEFAULT_COLLECTION, MilvusStore
from forebay.middleware.errors import StoreError
from forebay.middleware.records import Selector
from tests.contract.entries import DIMENSION, digest, make_entry, query_of
from tests.contract.store import assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.middleware.keys import Keyring
    from tests.adapters.milvus.relay import Relay

TIMEOUT_S = 0.5
PATIENCE_S = 8 * TIMEOUT_S


def make_store(uri: str, keyring: Keyring, **settings: Any) -> MilvusStore:
    return MilvusStore(uri, keyring, dimension=DIMENSION, timeout_s=TIMEOUT_S, **settings)


async def every_call(store: MilvusStore) -> list[Any]:
    """Call everything once; what is raised comes back as a value."""
    entry = make_entry()

    async def scan() -> None:
        async for _ in store.scan(Selector()):
            pass

    calls = (
        store.get(entry.id),
        store.search(query_of(entry)),
        store.put(entry),
        store.delete(Selector()),
        store.count(digest("never asked")),
        scan(),
    )
    async with asyncio.timeout(PATIENCE_S):
        return list(await asyncio.gather(*calls, return_exceptions=True))


async def succeeds(store: MilvusStore) -> None:
    """Wait until a put works."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.put(make_entry())
            except StoreError:
                await asyncio.sleep(0.02)


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.fixture
def pymilvus_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What pymilvus logs: its logger hands nothing on to the root logger."""
    logger = logging.getLogger("pymilvus")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


async def test_nothing_listens(keyring: Keyring, pymilvus_log: pytest.LogCaptureFixture) -> None:
    store = make_store(f"http://operator:hunter2@127.0.0.1:{closed_port()}/base?x=hunter2", keyring, token="hunter2")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreError, match=r"http://127.0.0.1:\d+/base cannot be reached") as failed:
            await store.start()
    assert "hunter2" not in str(failed.value)
    assert "operator" not in str(failed.value)
    assert all(isinstance(result, StoreError) for result in await every_call(store))
    (health,) = await store.check_ready()
    assert (health.ok, health.required) == (False, False)
    assert "hunter2" not in health.detail
    await store.stop()
    assert pymilvus_log.records == []


async def test_a_server_that_accepts_and_hangs(relay: Relay, keyring: Keyring) -> None:
    relay.silent = True
    store = make_store(relay.uri, keyring)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreError, match="cannot be reached"):
            await store.start()
    await store.stop()


async def test_a_failed_start_leaves_no_task(keyring: Keyring) -> None:
    before = asyncio.all_tasks()
    store = make_store(f"http://127.0.0.1:{closed_port()}", keyring)
    with pytest.raises(StoreError):
        await store.start()
    assert asyncio.all_tasks() == before
    await store.stop()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uri of every client that was made."""
    made: list[str] = []

    def make_client(uri: str, token: str, timeout_s: float) -> Any:
        made.append(uri)
        return driver.make_client(uri, token, timeout_s)

    monkeypatch.setattr(connection, "make_client", make_client)
    return made


async def test_between_attempts_callers_fail_without_a_connection(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch, attempts: list[str]
) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 3600.0)
    store = make_store(f"http://127.0.0.1:{closed_port()}", keyring)
    assert all(isinstance(result, StoreError) for result in await every_call(store))
    assert all(isinstance(result, StoreError) for result in await every_call(store))
    assert len(attempts) == 1
    await store.stop()


async def test_started_before_its_server(relay: Relay, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(connection, "LONGEST_PAUSE_S", 0.01)
    await relay.close()
    store = make_store(relay.uri, keyring)
    with pytest.raises(StoreError):
        await store.start()
    await relay.open()
    await succeeds(store)
    assert_same(await store.get(make_entry().id), make_entry())
    (health,) = await store.check_ready()
    assert health.ok
    await store.stop()


async def test_a_server_that_hangs_later(
    relay: Relay, keyring: Keyring, pymilvus_log: pytest.LogCaptureFixture
) -> None:
    store = make_store(relay.uri, keyring)
    await store.start()
    relay.silent = True
    results = await every_call(store)
    assert all(isinstance(result, StoreError) for result in results)
    assert f"took more than {TIMEOUT_S} s" in str(results[0])
    relay.silent = False
    await relay.close()
    await relay.open()
    await succeeds(store)
    await store.stop()
    assert pymilvus_log.records == []


async def test_a_server_that_goes_away_and_comes_back(relay: Relay, keyring: Keyring) -> None:
    store = make_store(relay.uri, keyring)
    await store.start()
    await relay.close()
    assert all(isinstance(result, StoreError) for result in await every_call(store))
    await relay.open()
    await succeeds(store)
    await store.stop()


async def test_a_reset_that_failed_does_not_happen_later(
    relay: Relay, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.0)
    store = make_store(relay.uri, keyring)
    await store.start()
    kept = make_entry(question="kept")
    await store.put(kept)
    await relay.close()
    with pytest.raises(StoreError):
        await store.reset()
    await relay.open()
    await succeeds(store)
    assert_same(await store.get(kept.id), kept)
    await store.stop()


async def test_a_collection_that_somebody_dropped_is_made_again(
    relay: Relay, keyring: Keyring, pymilvus_log: pytest.LogCaptureFixture
) -> None:
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
    await store.start()
    client = driver.make_client(relay.uri, "", PATIENCE_S)
    await client.drop_collection(DEFAULT_COLLECTION)
    await client.close()
    with pytest.raises(StoreError, match="code 100"):
        await store.get(digest("any"))
    assert pymilvus_log.records == []
    await succeeds(store)
    assert_same(await store.get(make_entry().id), make_entry())
    await store.stop()


async def test_a_caller_that_gives_up_does_not_end_the_attempt(
    relay: Relay, keyring: Keyring, attempts: list[str]
) -> None:
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
    caller = asyncio.create_task(store.get(digest("any")))
    await relay.connected.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert await store.get(digest("any")) is None
    assert attempts == [relay.uri]
    await store.stop()


async def test_stop_during_an_attempt(relay: Relay, keyring: Keyring) -> None:
    relay.silent = True
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION, timeout_s=60.0)
    starting = asyncio.create_task(store.start())
    async with asyncio.timeout(PATIENCE_S):
        await relay.connected.wait()
        await store.stop()
        results = await asyncio.gather(starting, return_exceptions=True)
    assert isinstance(results[0], StoreError)
    assert "stopped" in str(results[0])


async def test_a_server_without_filter_templates(database: Path, keyring: Keyring) -> None:
    milvus_lite: Any = import_module("milvus_lite.adapter.grpc.server")
    server, opened, port = await asyncio.to_thread(milvus_lite.start_server_in_thread, str(database))
    store = MilvusStore(f"http://127.0.0.1:{port}", keyring, dimension=DIMENSION)
    await store.start()
    kept, other = make_entry(), make_entry(question="another")
    for entry in (kept, other):
        await store.put(entry)
    await store.delete_many([other.id])
    assert await store.count(kept.scope) == 1
    assert [found.entry.id for found in await store.search(query_of(kept))] == [kept.id]
    assert [entry.id async for entry in store.scan(Selector(scope=kept.scope))] == [kept.id]
    await store.stop()
    await asyncio.to_thread(server.stop(0).wait)
    opened.close()


async def test_an_unusable_uri(keyring: Keyring) -> None:
    store = make_store("http://127.0.0.1:not-a-port", keyring)
    with pytest.raises(StoreError, match="cannot be reached"):
        await store.start()
    await store.stop()
