"""Of several processes on one store one decides what goes, and the others tell it what they kept and served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.accesses import MOST_IDS, MOST_TOUCHES, Batch, Gathered, Kept, Served, in_order
from forebay.middleware.breaker import Breaker
from forebay.middleware.errors import StoreError
from forebay.middleware.housekeeping import MOST_TAKEN, RECONCILE_S, SWEEP_S
from forebay.middleware.keeper import Keeper
from forebay.middleware.telemetry import Telemetry
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import make_entry
from tests.middleware.parts import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.middleware.records import Entry


class Server(MemoryStore):
    """Several keepers use it, and hand batches on through it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.failing = False

    @property
    def held(self) -> list[str]:
        return sorted(self._entries)

    @property
    def shared(self) -> bool:
        return True

    @property
    def recording(self) -> bool:
        return True

    async def record(self, batch: Batch) -> None:
        if self.failing:
            raise StoreError("not now")
        self.batches.append(batch)

    async def take(self, limit: int) -> Sequence[Batch]:
        taken, self.batches = self.batches[:limit], self.batches[limit:]
        return taken


class Rig:
    """Two processes; the first keeps house while `first` is set."""

    def __init__(self, most: int = 3) -> None:
        self.store, self.clock, self.first = Server(), FakeClock(), True

        async def is_first() -> bool:
            return self.first

        async def is_second() -> bool:
            return not self.first

        self.keepers = [
            Keeper(
                self.store,
                LRU(max_entries=most),
                Breaker("store", Telemetry(enabled=False)),
                keeps_house=asked,
                round_s=None,
                clock=self.clock,
            )
            for asked in (is_first, is_second)
        ]

    async def start(self) -> tuple[Keeper, Keeper]:
        for keeper in self.keepers:
            await keeper.start()
        return self.keepers[0], self.keepers[1]

    def entry(self, name: str) -> Entry:
        self.clock.now_s += 1.0
        return make_entry(id=name, created_s=self.clock.now_s, expires_s=1e9)


async def test_one_process_decides_by_what_all_of_them_serve() -> None:
    rig = Rig()
    house, other = await rig.start()
    for name in ("a", "b"):
        await house.put(rig.entry(name))
    for _ in range(3):
        rig.clock.now_s += 1.0
        other.touched(rig.entry("a"))
    await other.put(rig.entry("c"))
    await other.put(rig.entry("d"))
    assert rig.store.held == ["a", "b", "c", "d"], "only the first may decide"
    assert not rig.store.batches, "there is no write for each access"
    await other.house.round()
    assert len(rig.store.batches) == 1
    await house.house.round()
    assert rig.store.held == ["a", "c", "d"], "a was served by the other"
    assert not rig.store.batches


async def test_when_the_first_is_gone_the_second_takes_over_what_the_store_holds() -> None:
    rig = Rig()
    house, other = await rig.start()
    await house.put(rig.entry("a"))
    for name in ("b", "c"):
        await other.put(rig.entry(name))
    rig.first = False  # killed: what it had heard is lost
    await other.house.round()
    await other.put(rig.entry("d"))
    assert rig.store.held == ["b", "c", "d"]


async def test_a_lost_batch_loses_statistics_and_no_room() -> None:
    rig = Rig()
    house, other = await rig.start()
    rig.store.failing = True
    for name in ("a", "b", "c", "d", "e"):
        await other.put(rig.entry(name))
    with pytest.raises(StoreError):
        await other.house.round()
    await other.house.round()
    await house.house.round()
    assert len(rig.store.held) == 5
    rig.clock.now_s += max(RECONCILE_S, SWEEP_S)
    while await house.house.round():
        pass
    assert rig.store.held == ["c", "d", "e"]


async def test_what_is_gone_since_is_not_counted() -> None:
    rig = Rig()
    await rig.store.record(Batch((Kept("ghost", 1, 1.0, 0.0),), (Served("ghost", 2, 0.0),)))
    house, _ = await rig.start()
    for name in ("a", "b", "c"):
        await house.put(rig.entry(name))
        await house.house.round()
    assert rig.store.held == ["a", "b", "c"]


async def test_a_round_takes_no_more_than_its_part() -> None:
    rig = Rig()
    house, _ = await rig.start()
    for _ in range(MOST_TAKEN + 1):
        await rig.store.record(Batch())
    await house.house.round()
    assert len(rig.store.batches) == 1


names = st.text(max_size=8)
amounts = st.floats(0, 1e12)
batches = st.builds(
    Batch,
    st.lists(st.builds(Kept, names, st.integers(0, 10**9), amounts, amounts), max_size=5).map(tuple),
    st.lists(st.builds(Served, names, st.integers(0, MOST_TOUCHES), amounts), max_size=5).map(tuple),
)


@given(batches)
def test_a_batch_is_read_back_as_it_was_written(batch: Batch) -> None:
    assert Batch.from_json(batch.to_json()) == batch


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kept": [], "served": 1},
        {"kept": [["a", 1, 1.0]], "served": []},
        {"kept": [[1, 1, 1.0, 1.0]], "served": []},
        {"kept": [], "served": [["a", -1, 0.0]]},
        {"kept": [], "served": [["a", True, 0.0]]},
        {"kept": [], "served": [["a", 1, float("nan")]]},
        {"kept": [], "served": [["a", 1, 1.0]] * (MOST_IDS + 1)},
    ],
)
def test_what_is_no_batch_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a batch"):
        Batch.from_json(data)


def test_accesses_are_gathered_by_entry_and_told_once() -> None:
    gathered = Gathered()
    for at in range(3):
        gathered.served("a", float(at))
    gathered.kept(Kept("b", 1, 1.0, 1.5))
    gathered.kept(Kept("gone", 1, 1.0, 1.5))
    gathered.removed("gone")
    batch = gathered.take()
    assert batch is not None
    assert batch == Batch((Kept("b", 1, 1.0, 1.5),), (Served("a", 3, 2.0),))
    assert gathered.take() is None
    assert [each.id for each in in_order([batch])] == ["b", "a"]
