from __future__ import annotations

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.vectors.index import VectorIndex
from forebay.adapters.vectors.plain import PlainVectors
from forebay.middleware.forgotten import matches
from forebay.middleware.records import Selector
from tests.contract.entries import digest, make_entry, query_of
from tests.contract.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture(params=[PlainVectors, VectorIndex])
    def store(self, request: pytest.FixtureRequest) -> MemoryStore:
        return MemoryStore(request.param())


async def test_vectors_of_another_length_are_not_compared() -> None:
    store = MemoryStore()
    await store.put(make_entry(vector=(1.0, 0.0)))
    assert not await store.search(query_of(make_entry()))


async def test_emptied_scopes_leave_nothing_behind() -> None:
    store = MemoryStore(PlainVectors())
    await store.put(make_entry())
    await store.delete(Selector())
    assert await store.count() == 0
    assert await store.count(make_entry().scope) == 0
    assert not await store.search(query_of(make_entry()))


@pytest.mark.parametrize(("at", "expired"), [(9.9, False), (10.0, True), (10.1, True)])
def test_expired_at_its_expiry(at: float, expired: bool) -> None:
    assert matches(Selector(expired_at_s=at), make_entry(expires_s=10.0)) is expired


def test_matches_all_given_fields() -> None:
    entry = make_entry()
    assert matches(Selector(scope=entry.scope, tenant=entry.tenant), entry)
    assert not matches(Selector(scope=entry.scope, tenant=digest("another")), entry)
