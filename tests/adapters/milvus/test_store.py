"""The contract, on a Milvus Lite file and on what the store takes for a server."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.errors import StoreError, StoreMismatchError
from forebay.middleware.protocols import Component
from tests.contract.entries import DIMENSION, make_answer, make_entry, query_of
from tests.contract.store import StoreContract, assert_same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.middleware.keys import Keyring
    from tests.adapters.milvus.relay import Relay


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.rglob(pattern))


class TestMilvusLite(StoreContract):
    async def test_is_a_component(self, store: MilvusStore) -> None:
        assert isinstance(store, Component)

    async def test_ready(self, store: MilvusStore) -> None:
        for _ in range(70):
            await store.put(make_entry())
        (health,) = await store.check_ready()
        assert health.ok
        assert "milvus_lite" in health.detail
        assert "1 entries" in health.detail

    async def test_too_large_an_answer_is_refused(self, store: MilvusStore) -> None:
        text = random.Random(1).randbytes(100_000).hex()
        with pytest.raises(StoreError, match="too large") as refused:
            await store.put(make_entry(answer=make_answer(text)))
        assert text[:20] not in str(refused.value)
        assert await store.count() == 0

    async def test_a_vector_of_another_length_is_refused(self, store: MilvusStore) -> None:
        with pytest.raises(StoreMismatchError, match=r"2 dimensions, the collection holds 4"):
            await store.put(make_entry(vector=(1.0, 0.0)))

    async def test_search_after_the_write_buffer_was_flushed(self, store: MilvusStore, database: Path) -> None:
        for index in range(150):
            await store.put(make_entry(question=f"{index}", vector=(1.0, index / 10, 0.0, 0.0)))
        assert files(database, "*.parquet")
        found = await store.search(query_of(make_entry(), limit=3))
        assert [candidate.entry.question for candidate in found] == ["0", "1", "2"]


class TestOlderMilvusServer(StoreContract):
    @pytest.fixture
    async def store(self, older: Relay, keyring: Keyring) -> AsyncIterator[MilvusStore]:
        store = MilvusStore(older.uri, keyring, dimension=DIMENSION)
        await store.start()
        yield store
        await store.stop()

    async def test_searches_one_vector(self, store: MilvusStore, asked: list[str]) -> None:
        await store.search(query_of(make_entry()))
        (health,) = await store.check_ready()
        assert health.detail.endswith("searched by question")
        assert asked == ["search", "query"]


class TestMilvusServer(StoreContract):
    @pytest.fixture
    async def store(self, relay: Relay, keyring: Keyring) -> AsyncIterator[MilvusStore]:
        store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
        await store.start()
        yield store
        await store.stop()

    async def test_searches_all_fields_at_once(self, store: MilvusStore, asked: list[str]) -> None:
        near = make_entry(question="How do I reset my password?", vector=(0.0, 1.0, 0.0, 0.0))
        for entry in (near, *(make_entry(question=f"{at}", vector=(1.0, at / 99, 0.0, 0.0)) for at in range(60))):
            await store.put(entry)
        asked.clear()
        found = await store.search(query_of(near))
        assert asked == ["hybrid_search"]
        assert [candidate.entry.question for candidate in found] == ["0", "1", "2", "3", "4"]
        (health,) = await store.check_ready()
        assert health.detail.endswith("searched by question, context and words")

    async def test_two_processes_share_entries(self, store: MilvusStore, relay: Relay, keyring: Keyring) -> None:
        other = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
        await other.start()
        entry = make_entry()
        await store.put(entry)
        assert_same(await other.get(entry.id), entry)
        assert await other.count(entry.scope) == 1
        await other.stop()
        assert_same(await store.get(entry.id), entry)


async def test_without_an_embedder(tmp_path: Path, keyring: Keyring) -> None:
    store = MilvusStore(tmp_path / "cache.db", keyring, dimension=0)
    await store.start()
    entry = make_entry(vector=None, embedder="")
    await store.put(entry)
    assert_same(await store.get(entry.id), entry)
    await store.stop()
