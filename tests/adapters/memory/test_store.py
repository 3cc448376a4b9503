from __future__ import annotations

import pytest

from forebay.adapters.memory.store import MemoryStore, unit
from forebay.middleware.forgotten import matches
from forebay.middleware.records import Selector
from tests.contract.entries import EMBEDDER, digest, key_of, make_entry
from tests.contract.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


async def test_vectors_of_another_length_are_not_compared() -> None:
    store = MemoryStore()
    await store.put(make_entry(vector=(1.0, 0.0)))
    assert not await store.search(key_of(make_entry()), (1.0, 0.0, 0.0, 0.0), EMBEDDER, 5)


async def test_many_candidates_are_all_compared() -> None:
    store = MemoryStore()
    for index in range(600):
        await store.put(make_entry(question=f"{index}", vector=(1.0, 600.0 - index, 0.0, 0.0)))
    found = await store.search(key_of(make_entry()), (1.0, 0.0, 0.0, 0.0), EMBEDDER, 2)
    assert [candidate.entry.question for candidate in found] == ["599", "598"]


async def test_emptied_scopes_leave_nothing_behind() -> None:
    store = MemoryStore()
    await store.put(make_entry())
    await store.delete(Selector())
    assert not any(vars(store).values())


def test_unit() -> None:
    assert unit((3.0, 4.0)) == pytest.approx((0.6, 0.8))
    assert unit((0.0, 0.0)) is None


@pytest.mark.parametrize(("at", "expired"), [(9.9, False), (10.0, True), (10.1, True)])
def test_expired_at_its_expiry(at: float, expired: bool) -> None:
    assert matches(Selector(expired_at_s=at), make_entry(expires_s=10.0)) is expired


def test_matches_all_given_fields() -> None:
    entry = make_entry()
    assert matches(Selector(scope=entry.scope, tenant=entry.tenant), entry)
    assert not matches(Selector(scope=entry.scope, tenant=digest("another")), entry)
