"""In a store that several processes share, one of them keeps house."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.local.coordination import LocalCoordination
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.breaker import Breaker
from forebay.middleware.coordination import Claimed
from forebay.middleware.errors import CoordinationError
from forebay.middleware.housekeeping import SWEEP_S
from forebay.middleware.keeper import Keeper
from forebay.middleware.telemetry import Telemetry
from forebay.middleware.workers import keeps_house
from forebay.policies.eviction.lru import LRU
from tests.contract.coordination import Ears, working
from tests.contract.entries import make_entry
from tests.middleware.parts import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from forebay.middleware.records import Entry, Selector

NOW = 1_000.0


class Server(MemoryStore):
    """Several keepers use it; it counts how often it is read through."""

    def __init__(self, *, shared: bool = True) -> None:
        super().__init__()
        self._is_shared = shared
        self.scans = 0

    @property
    def shared(self) -> bool:
        return self._is_shared

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        self.scans += 1
        return super().scan(selector)


def keeper_of(store: MemoryStore, house: Callable[[], Awaitable[bool]], clock: FakeClock) -> Keeper:
    breaker = Breaker("store", Telemetry(enabled=False))
    return Keeper(store, LRU(max_entries=9, max_bytes=10**6), breaker, keeps_house=house, clock=clock)


def entry(name: str, expires_s: float) -> Entry:
    return replace(make_entry(question=name), created_s=NOW, expires_s=expires_s)


@pytest.mark.parametrize(("mine", "shared", "works"), [(True, True, True), (False, True, False), (False, False, True)])
async def test_who_adopts_and_sweeps(mine: bool, shared: bool, works: bool) -> None:
    async def house() -> bool:
        return mine

    store = Server(shared=shared)
    await store.put(entry("old", NOW - 1))
    keeper = keeper_of(store, house, FakeClock(NOW))
    await keeper.start()
    assert (store.scans > 0) is works
    await keeper.put(entry("new", NOW + 60))
    assert (store.scans > 1) is works
    assert await store.count() == (1 if works else 2)


async def test_of_several_one_sweeps_and_when_it_is_gone_another(tmp_path: Path) -> None:
    clock, store = FakeClock(NOW), Server()

    async def put(keeper: Keeper, name: str) -> bool:
        """Keep an entry, and return whether the store was read through."""
        before = store.scans
        await keeper.put(entry(name, clock.now_s + 60))
        return store.scans > before

    async with working(lambda: LocalCoordination(tmp_path), Ears(), Ears(), Ears()) as crew:
        keepers = [keeper_of(store, partial(keeps_house, one), clock) for one in crew]
        for keeper in keepers:
            await keeper.start()
        assert store.scans == 1
        assert [await put(keeper, f"a{at}") for at, keeper in enumerate(keepers)] == [True, False, False]
        clock.now_s += SWEEP_S
        assert [await put(keeper, f"b{at}") for at, keeper in enumerate(keepers)] == [True, False, False]
        await crew[0].stop()
        clock.now_s += SWEEP_S
        assert [await put(keeper, f"c{at}") for at, keeper in enumerate(keepers[1:])] == [True, False]


async def test_while_nobody_can_agree_nobody_keeps_house(tmp_path: Path) -> None:
    class Down(LocalCoordination):
        async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
            raise CoordinationError("down")

    assert not await keeps_house(Down(tmp_path))


async def test_a_sweep_deletes_what_earlier_epochs_have_left_behind() -> None:
    clock, store = FakeClock(NOW), Server(shared=False)

    async def mine() -> bool:
        return True

    keeper = keeper_of(store, mine, clock)
    await keeper.start()
    old, others = entry("old", NOW + 1e6), replace(entry("other", NOW + 1e6), tenant="another")
    for each in (old, others):
        await keeper.put(each)
    keeper.epochs.bump(old.tenant)
    clock.now_s += SWEEP_S
    gone = await keeper.put(replace(entry("new", NOW + 1e6), epoch=keeper.epochs.of(old.tenant)))
    assert [(each.entry_id, each.reason) for each in gone] == [(old.id, "invalidated")]
    assert await store.count() == 2
    scans = store.scans
    clock.now_s += SWEEP_S
    await keeper.put(others)
    assert store.scans == scans + 1  # of what has expired; the epoch is done with
