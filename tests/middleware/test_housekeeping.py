"""Any sequence of writes, reads, deletions, failures, time and restarts: what fits is kept, what is owed is not served."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.breaker import Breaker
from forebay.middleware.errors import StoreError
from forebay.middleware.housekeeping import SWEEP_S
from forebay.middleware.keeper import Keeper
from forebay.middleware.records import Entry, Selector
from forebay.middleware.state import StateStore
from forebay.middleware.telemetry import Telemetry
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import key_of, make_entry
from tests.middleware.parts import FakeClock, until

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = [f"e{at}" for at in range(9)]
MOST = 4
MOST_BYTES = 100


class Failing(MemoryStore):
    """Deletes nothing while it is told so."""

    failing = False

    @property
    def held(self) -> dict[str, Entry]:
        return dict(self._entries)

    async def delete(self, selector: Selector) -> int:
        if self.failing:
            raise StoreError("not now")
        return await super().delete(selector)

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        if self.failing:
            raise StoreError("not now")
        await super().delete_many(entry_ids)


class Housekeeping(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.state = StateStore(Path(self.folder.name) / "state.db")
        self.clock = FakeClock()
        self.store = Failing()
        self.keeper = self._started()

    def _started(self) -> Keeper:
        breaker = Breaker("store", Telemetry(enabled=False), trip_after=10**6)
        eviction = LRU(max_entries=MOST, max_bytes=MOST_BYTES)
        keeper = Keeper(self.store, eviction, breaker, state=self.state, round_s=None, clock=self.clock)
        self._run(keeper.start())
        return keeper

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self._run(self.keeper.stop())
        self.state.close()
        self.folder.cleanup()
        self.loop.close()

    @rule(
        name=st.sampled_from(NAMES),
        size=st.integers(1, 120),
        ttl_s=st.sampled_from([1.0, 50.0, 1e6]),
        worth=st.floats(0.0, 1.0),
    )
    def put(self, name: str, size: int, ttl_s: float, worth: float) -> None:
        now = self.clock.now_s
        entry = make_entry(id=name, created_s=now, expires_s=now + ttl_s, size_bytes=size)
        self._run(self.keeper.put(entry, worth=worth))
        assert name in self.store.held or size > MOST_BYTES
        if not self.store.failing:
            self._fits()

    @rule(name=st.sampled_from(NAMES))
    def read(self, name: str) -> None:
        found = self._run(self.keeper.get(key_of(make_entry(id=name))))
        if found is not None:
            assert found.expires_s > self.clock.now_s
            self.keeper.touched(found)

    @rule(name=st.sampled_from(NAMES))
    def forget(self, name: str) -> None:
        if not self.store.failing:
            self._run(self.keeper.forget(Selector(id=name)))
            assert name not in self.store.held

    @rule(seconds=st.sampled_from([0.5, 20.0, SWEEP_S]))
    def passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def fails(self) -> None:
        self.store.failing = not self.store.failing

    @precondition(lambda self: not self.store.failing)
    @rule()
    def sweep(self) -> None:
        """A round some time later: what has expired is gone, and nothing is owed."""
        self.clock.now_s += SWEEP_S
        while self._run(self.keeper.house.round()):
            pass
        assert all(entry.until_s > self.clock.now_s for entry in self.store.held.values())
        self._fits()

    @rule(killed=st.booleans())
    def restart(self, killed: bool) -> None:
        """It stops, or is killed: what it keeps for the next start is of its last stop or sweep then."""
        if not killed:
            self._run(self.keeper.stop())
            assert self.state.flush()
        failing, self.store.failing = self.store.failing, False
        self.keeper = self._started()
        self.store.failing = failing
        self._fits()

    @invariant()
    def what_is_owed_is_not_served(self) -> None:
        for name in self.store.held:
            if name in self.keeper.house.owed:
                assert self._run(self.keeper.get(key_of(make_entry(id=name)))) is None

    def _fits(self) -> None:
        held = self.store.held.values()
        assert len(held) <= MOST
        assert sum(entry.size_bytes for entry in held) <= MOST_BYTES


TestHousekeeping = Housekeeping.TestCase
TestHousekeeping.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class Costs(LRU):
    """Notes what entries cost."""

    def __init__(self) -> None:
        super().__init__(max_entries=9)
        self.costs: dict[str, float] = {}

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:
        self.costs[entry_id] = cost
        return super().added(entry_id, size_bytes, cost, now_s)


async def test_an_entry_whose_neighbours_would_answer_the_same_is_worth_less() -> None:
    eviction = Costs()
    keeper = Keeper(MemoryStore(), eviction, Breaker("store", Telemetry(enabled=False)), clock=FakeClock())
    await keeper.put(replace(make_entry(id="a"), cost=10.0))
    await keeper.put(replace(make_entry(id="b"), cost=10.0), worth=0.25)
    assert eviction.costs == {"a": 10.0, "b": 2.5}


class Slow(MemoryStore):
    """Deletes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.deleting, self.let = asyncio.Event(), asyncio.Event()

    async def delete(self, selector: Selector) -> int:
        self.deleting.set()
        await self.let.wait()
        return await super().delete(selector)


async def test_an_entry_is_not_written_while_it_is_deleted() -> None:
    store = Slow()
    keeper = Keeper(store, LRU(max_entries=1), Breaker("store", Telemetry(enabled=False)), clock=FakeClock())
    first, second = (make_entry(id=name, expires_s=1e9) for name in ("a", "b"))
    await keeper.put(first)
    making_room = asyncio.create_task(keeper.put(second))
    await store.deleting.wait()
    again = asyncio.create_task(keeper.put(first))
    for _ in range(9):
        await asyncio.sleep(0)
    store.let.set()
    await asyncio.gather(making_room, again)
    assert await keeper.get(key_of(first)) == first
    assert await store.count() == 1


async def test_the_rounds_go_on_after_a_failure_and_end_with_the_keeper() -> None:
    store, clock = Failing(), FakeClock()
    breaker = Breaker("store", Telemetry(enabled=False), trip_after=10**6)
    keeper = Keeper(store, LRU(), breaker, round_s=0.001, clock=clock)
    await keeper.start()
    await keeper.put(make_entry(id="a", expires_s=clock.now_s + 1))
    store.failing = True
    clock.now_s += SWEEP_S
    await until(lambda: "a" in keeper.house.owed)
    store.failing = False
    await until(lambda: not store.held)
    await keeper.stop()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "forebay-house"] == []
