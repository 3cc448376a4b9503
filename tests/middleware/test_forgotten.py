"""What was forgotten since a request began must not be kept."""

from __future__ import annotations

import asyncio

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.breaker import Breaker
from forebay.middleware.forgotten import Forgotten, ForgottenError
from forebay.middleware.keeper import Keeper
from forebay.middleware.records import Entry, Selector
from forebay.middleware.telemetry import Telemetry
from forebay.middleware.twins import Turn, Twins
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import make_entry
from tests.middleware.parts import FakeClock

ENTRY = make_entry(question="q", model="m", created_s=0.0, expires_s=4e9)


def memory(**options: int) -> tuple[Forgotten, FakeClock]:
    clock = FakeClock(100.0)
    return Forgotten(clock=clock, **options), clock


@pytest.mark.parametrize(
    ("selector", "hit"),
    [
        (Selector(), True),
        (Selector(id=ENTRY.id), True),
        (Selector(model="m", tenant=ENTRY.tenant, scope=ENTRY.scope), True),
        (Selector(model="n"), False),
        (Selector(id=ENTRY.id, model="n"), False),
    ],
)
def test_what_matches_and_began_before_is_forgotten(selector: Selector, hit: bool) -> None:
    forgotten, clock = memory()
    assert not forgotten.since(ENTRY, 0.0)
    forgotten.note(selector)
    clock.now_s += 10.0
    assert forgotten.since(ENTRY, 99.0) is hit
    assert forgotten.since(ENTRY, 100.0) is hit  # at the very moment: in doubt, forgotten
    assert not forgotten.since(ENTRY, 100.5)
    assert forgotten.lately(ENTRY, 15.0) is hit
    assert not forgotten.lately(ENTRY, 5.0)


def test_an_older_forget_counts_beside_newer_ones_of_other_things() -> None:
    forgotten, clock = memory()
    forgotten.note(Selector(id=ENTRY.id))
    for at in range(5):
        clock.now_s += 1.0
        forgotten.note(Selector(id=f"other {at}"))
    assert forgotten.since(ENTRY, 99.0)
    assert not forgotten.since(ENTRY, 101.0)


def test_what_is_older_than_the_memory_counts_as_forgotten() -> None:
    forgotten, clock = memory(most=3)
    for at in range(4):
        forgotten.note(Selector(id=f"other {at}"))
        clock.now_s += 1.0
    assert forgotten.since(ENTRY, 99.0)
    assert not forgotten.since(ENTRY, 100.5)


class SlowStore(MemoryStore):
    """Lets the test act while an entry is being written, before it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put(self, entry: Entry) -> None:
        self.writing.set()
        await self.go_on.wait()
        await super().put(entry)


def keeper_of(store: MemoryStore) -> tuple[Keeper, FakeClock]:
    keeper = Keeper(store, LRU(max_entries=10, max_bytes=10**6), Breaker("store", Telemetry(enabled=False)))
    clock = FakeClock(100.0)
    keeper.forgotten = Forgotten(clock=clock)
    return keeper, clock


async def test_an_answer_whose_request_began_before_is_not_kept() -> None:
    store = MemoryStore()
    keeper, clock = keeper_of(store)
    await keeper.forget(Selector(model="m"))
    with pytest.raises(ForgottenError):
        await keeper.put(ENTRY, 99.0)
    assert await store.count() == 0
    clock.now_s += 1.0
    await keeper.put(ENTRY, 101.0)
    assert await store.count() == 1


async def test_an_answer_that_is_being_written_meanwhile_is_taken_out_again() -> None:
    store = SlowStore()
    keeper, _ = keeper_of(store)
    writing = asyncio.create_task(keeper.put(ENTRY, 99.0))
    await store.writing.wait()
    assert await keeper.forget(Selector(model="m")) == 0  # it is not there yet
    store.go_on.set()
    with pytest.raises(ForgottenError):
        await writing
    assert await store.count() == 0


async def test_what_is_on_its_way_into_the_store_answers_nobody_any_more() -> None:
    twins = Twins()
    twins.hold(ENTRY.id, ENTRY)
    twins.forget(Selector(model="n"))
    assert await twins.join(ENTRY.id, "a", 1.0) is ENTRY
    twins.forget(Selector(model="m"))
    assert not twins.busy(ENTRY.id)
    assert await twins.join(ENTRY.id, "a", 1.0) is Turn.LEAD
    twins.let_go(ENTRY.id, ENTRY)
