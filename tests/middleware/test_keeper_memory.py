"""What the eviction policy learned outlives a restart, and making room never loses a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.breaker import Breaker
from forebay.middleware.errors import PayloadError, StoreError
from forebay.middleware.housekeeping import SNAPSHOT, SWEEP_S
from forebay.middleware.keeper import Keeper
from forebay.middleware.records import Selector
from forebay.middleware.state import StateStore
from forebay.middleware.telemetry import Telemetry
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import key_of, make_entry
from tests.middleware.parts import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from forebay.middleware.records import Entry

NOW = 1_000.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.db")
    yield store
    store.close()


def keeper(store: Any, state: StateStore | None, clock: FakeClock, *, most: int = 3) -> Keeper:
    breaker = Breaker("store", Telemetry(enabled=False))
    return Keeper(store, LRU(max_entries=most), breaker, state=state, clock=clock)


def kept(name: str, created_s: float = NOW) -> Entry:
    return make_entry(id=name, created_s=created_s, expires_s=NOW * 10)


async def stopped_with(store: MemoryStore, state: StateStore) -> None:
    """Three entries, of which the oldest was served last; then a clean stop."""
    first = keeper(store, state, FakeClock(NOW))
    await first.start()
    for name in ("a", "b", "c"):
        await first.put(kept(name))
    first.touched(kept("a"))
    await first.stop()
    assert state.flush()


async def test_what_was_served_last_survives_a_restart(state: StateStore) -> None:
    store = MemoryStore()
    await stopped_with(store, state)
    again = keeper(store, state, FakeClock(NOW + 1))
    await again.start()
    assert [gone.entry_id for gone in await again.put(kept("d", NOW + 1))] == ["b"]
    assert await store.get("a") is not None


async def test_entries_made_since_the_snapshot_are_learned_from_the_store(state: StateStore) -> None:
    store = MemoryStore()
    await stopped_with(store, state)
    await store.delete(Selector(id="c"))
    await store.put(kept("x", NOW + 5))  # by another process, or before a crash
    again = keeper(store, state, FakeClock(NOW + 6), most=2)
    await again.start()
    assert await store.get("x") is not None
    assert await store.count() == 2


async def test_a_snapshot_of_another_policy_is_left_alone(state: StateStore) -> None:
    store = MemoryStore()
    await store.put(kept("a"))
    state.save(SNAPSHOT, {"saved_s": NOW, "policy": {"of": "something else"}})
    assert state.flush()
    again = keeper(store, state, FakeClock(NOW + 1), most=1)
    await again.start()
    assert [gone.entry_id for gone in await again.put(kept("b", NOW + 1))] == ["a"]


class NoRoom(MemoryStore):
    """Keeps and finds, but deletes nothing and lists nothing."""

    async def delete(self, selector: Selector) -> int:
        raise StoreError("read only")

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        raise StoreError("not now")
        yield


async def test_a_write_counts_although_making_room_failed() -> None:
    store = NoRoom()
    one = keeper(store, None, FakeClock(NOW), most=1)
    for name in ("a", "b"):
        assert await one.put(kept(name)) == []
    assert await store.get("b") is not None


class Unlisted(MemoryStore):
    """Cannot be listed until it is told so; counts who tried."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = False
        self.tries = 0

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        self.tries += selector == Selector()
        if not self.listed:
            raise StoreError("not now")
        async for entry in super().scan(selector):
            yield entry


async def test_a_store_that_cannot_be_listed_is_not_read_through_at_every_write() -> None:
    store, clock = Unlisted(), FakeClock(NOW)
    await store.put(kept("old", NOW - 1))
    one = keeper(store, None, clock, most=2)
    for name in ("a", "b", "c"):
        await one.put(kept(name))
    assert store.tries == 1
    assert await store.get("a") is None, "what was written meanwhile is in the books"
    store.listed = True
    clock.now_s = NOW + SWEEP_S
    await one.put(kept("d", NOW + SWEEP_S))
    assert store.tries == 2
    assert await store.count() == 2
    assert await store.get("old") is None


class Damaged(MemoryStore):
    """Every entry it reads is damaged."""

    async def get(self, entry_id: str) -> Entry | None:
        raise PayloadError("a kept answer has a wrong signature")


async def test_damaged_entries_do_not_open_the_stores_breaker() -> None:
    one = keeper(Damaged(), None, FakeClock(NOW))
    for at in range(12):  # more than trip it
        assert await one.get(key_of(kept(f"e{at}"))) is None
    assert one.damaged == 12
