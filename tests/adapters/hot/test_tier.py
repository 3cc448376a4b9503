"""The hot tier in front of a store whose calls are noted, held up and failed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.hot.entries import memory_of
from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.errors import PayloadError, StoreError
from forebay.middleware.records import Selector
from tests.adapters.hot.noted import NotedStore, questions
from tests.contract.entries import DIMENSION, digest, make_answer, make_entry, query_of
from tests.contract.store import assert_same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.middleware.keys import Keyring
    from forebay.middleware.records import Entry


@pytest.fixture
def inner() -> NotedStore:
    return NotedStore()


@pytest.fixture
async def tier(inner: NotedStore) -> AsyncIterator[HotTier]:
    """Filled, in front of an empty store."""
    tier = HotTier(inner)
    await tier.settled()
    inner.calls.clear()
    yield tier
    await tier.stop()


async def test_what_was_written_is_found_without_asking(tier: HotTier, inner: NotedStore) -> None:
    entry = make_entry()
    await tier.put(entry)
    assert_same(await tier.get(entry.id), entry)
    assert await questions(tier, entry) == [entry.question]
    assert await tier.count(entry.scope) == 1
    assert await tier.get(digest("nobody's")) is None
    newer = replace(entry, expires_s=entry.expires_s + 1)
    await tier.put(newer)
    assert_same(await tier.get(entry.id), newer)
    assert inner.calls == ["put", "put"]


async def test_what_does_not_fit_into_memory_is_asked_for() -> None:
    inner = NotedStore()
    tier = HotTier(inner, max_bytes=0)
    await tier.settled()
    entry = make_entry()
    await tier.put(entry)
    inner.calls.clear()
    assert_same(await tier.get(entry.id), entry)
    assert await questions(tier, entry) == [entry.question]
    assert inner.calls == ["get", "get_many"]
    await tier.stop()


async def test_the_callers_answer_is_copied(tier: HotTier) -> None:
    answer = make_answer("kept")
    entry = make_entry(answer=answer)
    await tier.put(entry)
    body: Any = answer.body
    body["choices"][0]["message"]["content"] = "changed later"
    assert_same(await tier.get(entry.id), make_entry(answer=make_answer("kept")))


async def test_an_answer_that_is_not_json_is_refused_before_it_is_written(tier: HotTier, inner: NotedStore) -> None:
    with pytest.raises(PayloadError, match="JSON"):
        await tier.put(make_entry(answer=replace(make_answer(), body={"x": object()})))
    assert inner.calls == []


async def test_while_it_is_filled_the_store_is_asked(inner: NotedStore) -> None:
    entry, other = make_entry(), make_entry(question="elsewhere", scope=digest("elsewhere"))
    for each in (entry, other):
        await MemoryStore.put(inner, each)
    inner.open.clear()
    tier = HotTier(inner)
    await tier.start()
    assert_same(await tier.get(entry.id), entry)
    assert await questions(tier, entry) == [entry.question]
    assert await tier.count(entry.scope) == 1
    assert await tier.count() == 2
    assert {"get", "search", "count"} <= set(inner.calls)
    inner.open.set()
    await tier.settled()
    inner.calls.clear()
    assert_same(await tier.get(other.id), other)
    assert await questions(tier, other) == [other.question]
    assert await tier.count() == 2
    assert inner.calls == []
    await tier.stop()


async def test_the_scope_that_is_asked_for_is_there_before_the_rest(inner: NotedStore) -> None:
    class Halted(NotedStore):
        async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
            if selector.scope is None:
                await self.open.wait()
            async for entry in MemoryStore.scan(self, selector):
                yield entry
            if selector.scope is not None:
                self.reading.set()

    inner = Halted()
    inner.open.clear()
    entry = make_entry()
    await MemoryStore.put(inner, entry)
    tier = HotTier(inner)
    assert await questions(tier, entry) == [entry.question]
    await inner.reading.wait()
    await asyncio.sleep(0)
    inner.calls.clear()
    assert await questions(tier, entry) == [entry.question]
    assert await tier.count(entry.scope) == 1
    assert inner.calls == []
    inner.open.set()
    await tier.stop()


async def test_what_changes_while_it_is_read_is_as_it_was_written(inner: NotedStore) -> None:
    gone, changed = make_entry(question="gone"), make_entry(question="changed")
    for entry in (gone, changed):
        await MemoryStore.put(inner, entry)
    inner.open.clear()
    tier = HotTier(inner)
    await tier.start()
    await inner.reading.wait()  # both were read, and neither is in memory yet
    await tier.delete(Selector(id=gone.id))
    newer = replace(changed, vector=(0.0, 1.0, 0.0, 0.0), expires_s=changed.expires_s + 1)
    await tier.put(newer)
    inner.open.set()
    await tier.settled()
    inner.calls.clear()
    assert await tier.get(gone.id) is None
    assert_same(await tier.get(changed.id), newer)
    (found,) = await tier.search(query_of(changed))
    assert found.similarity == pytest.approx(0.0)
    assert await tier.count() == 1
    assert inner.calls == []
    await tier.stop()


async def test_a_fill_that_failed_is_tried_again(inner: NotedStore) -> None:
    await MemoryStore.put(inner, make_entry())
    inner.failing = {"scan"}
    tier = HotTier(inner)
    await tier.settled()
    assert await tier.count() == 1
    inner.failing = set()
    await tier.settled()
    inner.calls.clear()
    assert await tier.count() == 1
    assert inner.calls == []
    await tier.stop()


@pytest.mark.parametrize("call", ["put", "delete"])
async def test_a_write_that_failed_too_late_is_looked_into(tier: HotTier, inner: NotedStore, call: str) -> None:
    one, two = make_entry(question="one"), make_entry(question="two")
    await tier.put(one)
    inner.failing = {call}
    with pytest.raises(StoreError):
        await (tier.put(two) if call == "put" else tier.delete(Selector(id=one.id)))
    left = {"put": ["one", "two"], "delete": []}[call]
    assert [(await tier.get(entry.id)) is not None for entry in (one, two)] == [name in left for name in ("one", "two")]
    assert [await tier.count(), await tier.count(one.scope)] == [len(left)] * 2
    assert sorted(await questions(tier, one)) == left
    inner.calls.clear()
    assert await tier.count() == len(left)
    assert inner.calls == []


async def test_a_read_that_a_write_overtook_is_not_kept(inner: NotedStore) -> None:
    entry = make_entry()

    class Slow(NotedStore):
        async def get(self, entry_id: str) -> Entry | None:
            found = await MemoryStore.get(self, entry_id)
            self.reading.set()
            await self.open.wait()
            return found

    inner = Slow()
    await MemoryStore.put(inner, entry)
    tier = HotTier(inner, max_bytes=memory_of(entry) + 100)
    await tier.settled()
    await tier.put(make_entry(question="takes its room"))
    inner.reading.clear()
    inner.open.clear()
    reading = asyncio.create_task(tier.get(entry.id))
    await inner.reading.wait()
    newer = replace(entry, expires_s=entry.expires_s + 1)
    await tier.put(newer)
    inner.open.set()
    assert_same(await reading, entry)
    assert_same(await tier.get(entry.id), newer)
    await tier.stop()


async def test_an_id_whose_entry_does_not_match_the_rest_stays(tier: HotTier) -> None:
    entry = make_entry()
    await tier.put(entry)
    assert await tier.delete(Selector(id=entry.id, model="another")) == 0
    assert_same(await tier.get(entry.id), entry)
    assert await tier.count() == 1
    assert await questions(tier, entry) == [entry.question]


async def test_int8_candidates_are_compared_exactly() -> None:
    tier = HotTier(MemoryStore(), int8=True)
    await tier.settled()
    for at in range(40):
        await tier.put(make_entry(question=f"{at}", vector=(1.0, at * 1e-4, 0.3, 0.1)))
    found = await tier.search(query_of(make_entry(), (1.0, 0.0, 0.3, 0.1), limit=1))
    assert [candidate.entry.question for candidate in found] == ["0"]
    assert found[0].similarity == pytest.approx(1.0, abs=1e-6)
    await tier.stop()


async def test_reset_makes_it_empty(database: Path, keyring: Keyring) -> None:
    tier = HotTier(MilvusStore(database, keyring, dimension=DIMENSION))
    await tier.start()
    await tier.settled()
    entry = make_entry()
    await tier.put(entry)
    await tier.reset()
    assert await tier.get(entry.id) is None
    assert await tier.count() == 0
    assert not await questions(tier, entry)
    await tier.put(entry)
    assert await questions(tier, entry) == [entry.question]
    await tier.stop()
    with pytest.raises(StoreError, match="cannot be made anew"):
        await HotTier(MemoryStore()).reset()


async def test_entries_survive_a_restart(database: Path, keyring: Keyring, asked: list[str]) -> None:
    entry = make_entry(context=digest("c"), reading="flights", context_vector=(0.0, 1.0, 0.0, 0.0))
    for _ in range(2):
        tier = HotTier(MilvusStore(database, keyring, dimension=DIMENSION))
        await tier.start()
        await tier.settled()
        await tier.put(entry)
        asked.clear()
        assert await questions(tier, entry, context=entry.context_vector) == [entry.question]
        assert asked == []
        await tier.stop()
