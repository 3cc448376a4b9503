"""The calls that go past gRPC: the same results, and the same errors, as through the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.milvus.driver import Profile, is_collection_missing, make_client
from forebay.adapters.milvus.filters import BY_ID
from forebay.adapters.milvus.lite import LiteServer
from forebay.adapters.milvus.rows import READ_COLUMNS, from_row, to_row
from forebay.adapters.milvus.store import DEFAULT_COLLECTION, MilvusStore
from tests.contract.entries import DIMENSION, digest, make_entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.middleware.keys import Keyring

SEARCH = {
    "data": [[1.0] + [0.0] * (DIMENSION - 1)],
    "anns_field": "vector",
    "filter": "scope == {scope} and has_vector == {yes}",
    "filter_params": {"scope": digest("scope"), "yes": True},
    "limit": 3,
    "output_fields": list(READ_COLUMNS[Profile.ONE]),
    "search_params": {"metric_type": "COSINE", "params": {"ef": 64}},
}


@pytest.fixture
async def lite(database: Path, keyring: Keyring) -> AsyncIterator[LiteServer]:
    """A served database with five entries."""
    server = await asyncio.to_thread(LiteServer.open, database)
    client = make_client(server.uri, "", 5.0)
    await client.load_collection(DEFAULT_COLLECTION)
    await client.close()
    entries = [
        make_entry(question=f"question {at}", vector=(1.0, 0.25 * at) + (0.0,) * (DIMENSION - 2)) for at in range(5)
    ]
    rows = [to_row(entry, keyring, DIMENSION, Profile.ONE) for entry in entries]
    assert await server.engine.call("upsert", DEFAULT_COLLECTION, data=rows) == {"upsert_count": 5}
    yield server
    await asyncio.to_thread(server.close)


async def through_grpc(lite: LiteServer, method: str, **arguments: Any) -> Any:
    client = make_client(lite.uri, "", 5.0)
    try:
        return await getattr(client, method)(DEFAULT_COLLECTION, **arguments)
    finally:
        await client.close()


@pytest.mark.parametrize("flushed", [False, True])
async def test_reading_gives_what_the_server_gives(lite: LiteServer, keyring: Keyring, *, flushed: bool) -> None:
    if flushed:
        lite.engine.wrote(DEFAULT_COLLECTION, 10_000)
    found = await lite.engine.call("search", DEFAULT_COLLECTION, **SEARCH)
    served = await through_grpc(lite, "search", **SEARCH)
    assert [hit["distance"] for hit in found[0]] == pytest.approx([hit["distance"] for hit in served[0]])
    mine = [from_row(hit["entity"], keyring) for hit in found[0]]
    assert [entry.question for entry in mine] == ["question 0", "question 1", "question 2"]
    assert mine == [from_row(hit["entity"], keyring) for hit in served[0]]

    by_id = {
        "filter": BY_ID,
        "filter_params": {"ids": [mine[1].id, digest("nobody's"), mine[0].id]},
        "output_fields": list(READ_COLUMNS[Profile.ONE]),
    }
    rows = await lite.engine.call("query", DEFAULT_COLLECTION, **by_id)
    assert [from_row(row, keyring) for row in rows] == [mine[1], mine[0]]
    assert {from_row(row, keyring).id for row in await through_grpc(lite, "query", **by_id)} == {mine[0].id, mine[1].id}


async def test_a_value_that_no_column_holds_is_refused(lite: LiteServer) -> None:
    wrong = {**SEARCH, "filter_params": {"scope": 'x" or id != "', "yes": True}}
    with pytest.raises(ValueError, match="scope"):
        await lite.engine.call("search", DEFAULT_COLLECTION, **wrong)


async def test_a_collection_that_is_gone(lite: LiteServer) -> None:
    with pytest.raises(Exception, match="not found") as raised:
        await lite.engine.call("search", "another", **SEARCH)
    assert is_collection_missing(raised.value)


async def test_only_reading_by_id_is_taken(lite: LiteServer) -> None:
    engine = lite.engine
    assert engine.takes("query", {"filter": BY_ID})
    assert not engine.takes("query", {"filter": "scope == {scope}"})
    assert engine.takes("search", {})
    assert not engine.takes("delete", {"filter": BY_ID})


async def test_a_closed_engine_takes_no_calls(database: Path, keyring: Keyring) -> None:
    lite = await asyncio.to_thread(LiteServer.open, database)
    await asyncio.to_thread(lite.close)
    with pytest.raises(RuntimeError):
        await lite.engine.call("search", DEFAULT_COLLECTION, **SEARCH)


async def test_requests_use_no_grpc(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = make_entry()
    for method in ("upsert", "query", "search"):
        monkeypatch.delattr(f"pymilvus.AsyncMilvusClient.{method}")
    await store.put(entry)
    found = await store.get(entry.id)
    assert found is not None
    assert found.question == entry.question
