"""Batches of accesses, handed from one process on a Milvus to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.accesses import MOST_IDS, Batch, BatchDeleting, Kept, Recording, Served
from forebay.middleware.errors import StoreError
from forebay.middleware.keys import Keyring
from tests.contract.entries import DIMENSION, digest, make_entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.adapters.milvus.relay import Relay


@pytest.fixture
async def pair(relay: Relay, keyring: Keyring) -> AsyncIterator[tuple[HotTier, MilvusStore]]:
    """Two processes on one server; the first has a hot tier."""
    stores = [MilvusStore(relay.uri, keyring, dimension=DIMENSION) for _ in range(2)]
    first = HotTier(stores[0])
    await first.start()
    await stores[1].start()
    yield first, stores[1]
    await first.stop()
    await stores[1].stop()


def batch(number: int) -> Batch:
    name = digest(str(number))
    return Batch((Kept(name, 100, 2.5, float(number)),), (Served(name, 3, number + 0.5),))


async def test_what_one_writes_the_other_takes_once_oldest_first(pair: tuple[HotTier, MilvusStore]) -> None:
    writer, house = pair
    assert isinstance(writer, Recording)
    assert isinstance(house, Recording)
    assert isinstance(writer, BatchDeleting)
    assert writer.recording
    assert house.recording
    for at in range(3):
        await writer.record(batch(at))
    assert await house.take(2) == [batch(0), batch(1)]
    assert await house.take(2) == [batch(2)]
    assert await house.take(2) == []
    assert await house.count() == 0, "they are no entries"


async def test_the_largest_batch_is_one_row(pair: tuple[HotTier, MilvusStore], asked: list[str]) -> None:
    writer, house = pair
    names = [digest(str(at)) for at in range(MOST_IDS)]
    large = Batch(tuple(Kept(name, 123_456, 1234.5678, 1_700_000_000.123456) for name in names))
    asked.clear()
    await writer.record(large)
    assert asked == ["upsert"]
    assert await house.take(1) == [large]


async def test_a_batch_of_another_secret_is_not_believed_and_does_not_come_again(
    pair: tuple[HotTier, MilvusStore], relay: Relay
) -> None:
    writer, house = pair
    other = MilvusStore(relay.uri, Keyring.from_secret("another"), dimension=DIMENSION)
    await other.start()
    await other.record(batch(1))
    await other.stop()
    await writer.record(batch(2))
    assert await house.take(5) == [batch(2)]
    assert await house.take(5) == []


async def test_many_are_deleted_in_one_call(pair: tuple[HotTier, MilvusStore], asked: list[str]) -> None:
    writer, _ = pair
    entries = [make_entry(question=str(at)) for at in range(4)]
    for entry in entries:
        await writer.put(entry)
    asked.clear()
    await writer.delete_many([entry.id for entry in entries[:3]] + [digest("none")])
    assert asked == ["delete"]
    assert await writer.count() == 1


async def test_a_file_of_this_process_alone_takes_none(store: MilvusStore) -> None:
    assert not store.recording
    with pytest.raises(StoreError):
        await HotTier(MemoryStore()).record(Batch())


async def test_entries_are_kept_where_batches_cannot_be(
    relay: Relay, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused() -> Any:
        raise RuntimeError("no right to make collections")

    monkeypatch.setattr("forebay.adapters.milvus.accesses.make_accesses_schema", refused)
    store = MilvusStore(relay.uri, keyring, dimension=DIMENSION, collection="another")
    await store.start()
    await store.put(make_entry())
    assert not store.recording
    assert "not shared with other processes: RuntimeError" in caplog.text
    await store.stop()


async def test_a_hot_tier_forgets_what_was_deleted_at_once(database: Path, keyring: Keyring) -> None:
    tier = HotTier(MilvusStore(database, keyring, dimension=DIMENSION))
    await tier.start()
    await tier.settled()
    entries = [make_entry(question=str(at)) for at in range(3)]
    for entry in entries:
        await tier.put(entry)
    await tier.delete_many([entry.id for entry in entries[:2]])
    assert await tier.count() == 1
    assert await tier.get(entries[0].id) is None
    await tier.stop()
