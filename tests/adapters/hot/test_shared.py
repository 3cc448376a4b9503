"""The hot tier in front of a store that other processes write to, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.hot.tier import NEAR, HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.errors import PayloadError, StoreError
from forebay.middleware.records import Selector
from tests.adapters.hot.noted import NotedStore, questions
from tests.contract.entries import make_answer, make_entry, query_of
from tests.contract.store import assert_same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.middleware.records import Candidate, Entry, Query


class TestShared:
    """Two processes, as it were, in front of one store."""

    @pytest.fixture
    async def tiers(self) -> AsyncIterator[tuple[NotedStore, HotTier, HotTier]]:
        store = NotedStore(shared=True)
        one, other = HotTier(store), HotTier(store)
        for tier in (one, other):
            await tier.settled()
        yield store, one, other
        for tier in (one, other):
            await tier.stop()

    async def test_what_another_deleted_is_not_served(self, tiers: tuple[NotedStore, HotTier, HotTier]) -> None:
        store, one, other = tiers
        entry = make_entry()
        await one.put(entry)
        assert await questions(one, entry) == [entry.question]
        await other.delete(Selector(scope=entry.scope))
        assert await one.get(entry.id) is None
        assert await questions(one, entry) == []
        assert await one.count(entry.scope) == 0
        store.calls.clear()
        assert await questions(one, entry) == []
        assert store.calls == ["search"]  # it is not in the index any more

    async def test_what_another_wrote_is_found_and_then_fetched_by_its_id(
        self, tiers: tuple[NotedStore, HotTier, HotTier]
    ) -> None:
        store, one, other = tiers
        entry = make_entry()
        await other.put(entry)
        assert_same(await one.get(entry.id), entry)
        assert await one.count(entry.scope) == 1
        assert await questions(one, entry) == [entry.question]
        store.calls.clear()
        assert await questions(one, entry) == [entry.question]
        assert store.calls == ["get_many"]

    async def test_where_nothing_is_very_near_the_store_is_searched(
        self, tiers: tuple[NotedStore, HotTier, HotTier]
    ) -> None:
        store, one, other = tiers
        far = (NEAR - 0.01, (1 - (NEAR - 0.01) ** 2) ** 0.5, 0.0, 0.0)
        await one.put(make_entry(question="mine", vector=far))
        await other.put(make_entry(question="another's"))
        store.calls.clear()
        assert await questions(one, make_entry()) == ["another's", "mine"]
        assert store.calls == ["search"]

    async def test_what_another_wrote_in_its_place_is_what_is_served(
        self, tiers: tuple[NotedStore, HotTier, HotTier]
    ) -> None:
        _, one, other = tiers
        entry = make_entry()
        await one.put(entry)
        await other.put(replace(entry, answer=make_answer("newer")))
        (found,) = await one.search(query_of(entry))
        assert found.entry.answer == make_answer("newer")


class BareStore:
    """Does what every store must, and nothing more; one of its entries is damaged."""

    def __init__(self, damaged: str) -> None:
        self._kept = MemoryStore()
        self._damaged = damaged

    async def get(self, entry_id: str) -> Entry | None:
        if entry_id == self._damaged:
            raise PayloadError("a kept answer has a wrong signature")
        return await self._kept.get(entry_id)

    async def search(self, query: Query) -> Sequence[Candidate]:
        return await self._kept.search(query)

    async def put(self, entry: Entry) -> None:
        await self._kept.put(entry)

    async def delete(self, selector: Selector) -> int:
        return await self._kept.delete(selector)

    async def count(self, scope: str | None = None) -> int:
        return await self._kept.count(scope)


async def test_a_store_that_says_nothing_of_itself_is_taken_to_be_shared() -> None:
    good, bad = make_entry(question="good"), make_entry(question="bad")
    tier = HotTier(BareStore(bad.id))
    await tier.start()
    for entry in (good, bad):
        await tier.put(entry)
    assert (tier.shared, tier.damaged, await tier.check_ready()) == (True, 0, [])
    assert await questions(tier, good) == ["good"]
    assert await tier.delete(Selector(id=good.id)) == 1
    assert await questions(tier, bad) == ["bad"]  # by the store's own search
    with pytest.raises(StoreError, match="cannot list"):
        tier.scan(Selector())
    await tier.stop()
