"""What somebody else wrote into the collection is not believed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.milvus.driver import Profile, make_client
from forebay.adapters.milvus.rows import to_row
from forebay.adapters.milvus.store import DEFAULT_COLLECTION, MilvusStore
from forebay.middleware import payload
from forebay.middleware.errors import PayloadError, StoreMismatchError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Entry, Selector
from tests.contract.entries import DIMENSION, digest, make_entry, query_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.adapters.milvus.relay import Relay


@pytest.fixture
async def store(relay: Relay, keyring: Keyring) -> AsyncIterator[MilvusStore]:
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def raw(relay: Relay) -> AsyncIterator[Any]:
    """A Milvus client of somebody else."""
    client = make_client(relay.uri, "", 5.0)
    yield client
    await client.close()


async def write_raw(raw: Any, entry: Entry, keyring: Keyring, **columns: Any) -> None:
    """Write an entry's row with some columns changed."""
    await raw.upsert(DEFAULT_COLLECTION, data=[to_row(entry, keyring, DIMENSION, Profile.HYBRID) | columns])


async def search(store: MilvusStore, entry: Entry) -> list[str]:
    found = await store.search(query_of(entry))
    return [candidate.entry.question for candidate in found]


async def test_damaged_payloads_are_left_out_and_counted(store: MilvusStore, raw: Any, keyring: Keyring) -> None:
    good = make_entry(question="good")
    await store.put(good)
    garbage = ["", "not JSON", "[]", '{"v": 1}', "z:", "z:!!", "z:eJw=", "[" * 50_000]
    for index, kept in enumerate(garbage):
        await write_raw(raw, make_entry(question=f"bad {index}"), keyring, payload=kept)
    assert await search(store, good) == ["good"]
    assert store.damaged > 0
    before = store.damaged
    for index in range(len(garbage)):
        with pytest.raises(PayloadError):
            await store.get(make_entry(question=f"bad {index}").id)
    assert store.damaged == before + len(garbage)
    assert [entry.question async for entry in store.scan(Selector())] == ["good"]
    ready, damaged = await store.check_ready()
    assert (ready.ok, damaged.ok, damaged.required) == (True, False, False)
    assert await store.delete(Selector(scope=good.scope)) == 1 + len(garbage)


async def test_an_entry_of_another_schema(
    store: MilvusStore, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = make_entry()
    with monkeypatch.context() as patch:
        patch.setattr(payload, "SCHEMA", 0)
        await store.put(entry)
    with pytest.raises(PayloadError, match="schema 0"):
        await store.get(entry.id)
    assert await search(store, entry) == []


async def test_an_entry_signed_by_another_key(store: MilvusStore, raw: Any) -> None:
    entry = make_entry()
    await write_raw(raw, entry, Keyring.from_secret("somebody else's secret"))
    with pytest.raises(PayloadError, match="signature"):
        await store.get(entry.id)
    assert await search(store, entry) == []


async def test_a_payload_copied_to_another_id(store: MilvusStore, raw: Any, keyring: Keyring) -> None:
    entry = make_entry()
    kept = to_row(entry, keyring, DIMENSION, Profile.HYBRID)["payload"]
    copy = make_entry(question="another question")
    await write_raw(raw, copy, keyring, payload=kept)
    with pytest.raises(PayloadError, match="signature"):
        await store.get(copy.id)


@pytest.mark.parametrize("field", ["scope", "context", "embedder"])
async def test_columns_that_contradict_the_signed_payload(
    store: MilvusStore, raw: Any, keyring: Keyring, field: str
) -> None:
    secret = make_entry(scope=digest("victim"), context=digest("turns"), embedder="words@9")
    asked = make_entry(scope=secret.scope, context=secret.context, embedder=secret.embedder)
    asked = replace(asked, **{field: getattr(make_entry(), field)})
    await write_raw(raw, secret, keyring, **{field: getattr(asked, field)})
    assert not await store.search(query_of(asked, embedder=asked.embedder))
    assert store.damaged == 1


async def test_a_scan_does_not_believe_the_columns(store: MilvusStore, raw: Any, keyring: Keyring) -> None:
    await write_raw(raw, make_entry(scope=digest("victim")), keyring, scope=digest("asked"))
    assert [entry async for entry in store.scan(Selector(scope=digest("asked")))] == []
    assert store.damaged == 1


async def test_a_collection_of_something_else(relay: Relay, raw: Any, keyring: Keyring) -> None:
    await raw.create_collection("foreign", dimension=DIMENSION)
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION, collection="foreign")
    with pytest.raises(StoreMismatchError, match="lacks scope, context"):
        await store.start()
    await store.stop()
