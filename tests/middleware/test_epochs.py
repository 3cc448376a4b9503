"""Epochs: what was bumped is not served any more, by any process that has heard of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from forebay.middleware.epochs import TENANT_BITS, Epochs, is_before, packed, parts_of
from forebay.middleware.errors import AdapterError
from forebay.middleware.forgotten import matches
from forebay.middleware.records import Selector
from forebay.middleware.state import StateStore
from tests.contract.entries import digest, make_entry
from tests.middleware.parts import FakeClock
from tests.middleware.processes import together

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from forebay.middleware.records import Entry

ONE, OTHER = digest("one"), digest("other")
TENANTS = (ONE, OTHER, digest("third"))
PART = st.integers(0, (1 << TENANT_BITS) - 1)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.db")
    yield store
    store.close()


def kept(epochs: Epochs, tenant: str = ONE) -> Entry:
    """An entry whose request begins now."""
    return make_entry(tenant=tenant, epoch=epochs.of(tenant))


@given(PART, PART, PART, PART)
def test_an_epoch_is_before_another_where_one_of_its_parts_is(a: int, b: int, c: int, d: int) -> None:
    assert parts_of(packed(a, b)) == (a, b)
    assert is_before(packed(a, b), packed(c, d)) == (a < c or b < d)


def test_nothing_is_invalidated_in_the_beginning() -> None:
    epochs = Epochs()
    assert epochs.of(ONE) == 0
    assert epochs.holds(make_entry(epoch=0))


def test_a_bump_invalidates_what_its_tenant_has_and_nothing_else() -> None:
    epochs = Epochs()
    mine, others = kept(epochs, ONE), kept(epochs, OTHER)
    told = epochs.bump(ONE)
    assert not epochs.holds(mine)
    assert epochs.holds(others)
    assert epochs.holds(kept(epochs, ONE))
    assert told.tenant == ONE
    assert [matches(told, entry) for entry in (mine, others, kept(epochs, ONE))] == [True, False, False]


def test_a_bump_of_everything() -> None:
    epochs = Epochs()
    epochs.bump(ONE)
    entries = [kept(epochs, tenant) for tenant in TENANTS]
    told = epochs.bump()
    assert told.tenant is None
    assert not any(epochs.holds(entry) for entry in entries)
    assert all(matches(told, entry) for entry in entries)
    assert epochs.holds(kept(epochs, OTHER))
    assert not matches(told, kept(epochs, ONE))


def test_a_bump_grows_though_the_clock_stands_or_goes_back() -> None:
    clock = FakeClock()
    epochs = Epochs(clock=clock)
    for step in (0.0, 0.0, -500.0):
        clock.now_s += step
        entry = kept(epochs)
        epochs.bump(ONE)
        assert not epochs.holds(entry)


def test_another_worker_takes_it_over() -> None:
    here, there = Epochs(), Epochs()
    entry = kept(there)
    there.heard(here.bump(ONE))
    assert not there.holds(entry)
    assert there.holds(kept(here))
    there.heard(Selector(tenant=ONE))  # no epoch, nothing to learn
    assert there.of(ONE) == here.of(ONE)


def test_a_process_that_missed_a_bump_learns_from_what_it_sees(state: StateStore) -> None:
    here, there = Epochs(), Epochs(state)
    old = kept(there)
    here.bump(ONE)
    there.seen(kept(here))
    assert not there.holds(old)
    assert state.flush()
    assert Epochs(state).of(ONE) == here.of(ONE)
    there.seen(old)
    assert not there.holds(old)


def test_a_restart_forgets_no_bump(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state.db")
    before = Epochs(state)
    mine, all_ = kept(before, ONE), kept(before, OTHER)
    before.bump(ONE)
    before.bump()
    again = StateStore(tmp_path / "state.db")
    after = Epochs(again)
    assert not after.holds(mine)
    assert not after.holds(all_)
    assert after.of(ONE) == before.of(ONE)
    again.close()
    state.close()


KILLED = """
import os, signal
from pathlib import Path
state = StateStore(Path(sys.argv[1]))
print(Epochs(state).bump(sys.argv[2]).epoch, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
IMPORTS = "from forebay.middleware.epochs import Epochs\nfrom forebay.middleware.state import StateStore"


def test_a_bump_outlives_a_process_that_is_killed_right_after_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    program = f"import sys\n{IMPORTS}\n{KILLED}"
    done = subprocess.run([sys.executable, "-c", program, str(path), ONE], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    state = StateStore(path)
    assert Epochs(state).of(ONE) == int(done.stdout) > 0
    state.close()


MANY = """
from pathlib import Path
epochs = Epochs(StateStore(Path(sys.argv[1])), clock=lambda: 1000.0)
print(*[epochs.bump(sys.argv[2]).epoch for _ in range(20)])
"""


def test_processes_that_bump_at_once_take_no_epoch_twice(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    StateStore(tmp_path / "state.db").close()
    done = together(IMPORTS, MANY, [(path, ONE)] * 3)
    assert all(status == 0 for status, _, _ in done), done
    made = [int(number) for _, out, _ in done for number in out.split()]
    assert len(set(made)) == 60
    state = StateStore(tmp_path / "state.db")
    assert Epochs(state).of(ONE) == max(made)
    state.close()


def test_a_bump_that_cannot_be_kept_is_said_and_holds_here(state: StateStore, tmp_path: Path) -> None:
    epochs = Epochs(state)
    entry = kept(epochs)
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "state.db").mkdir()
    with pytest.raises(AdapterError, match="would not outlive a restart"):
        epochs.bump(ONE)
    assert not epochs.holds(entry)


def test_thousands_of_tenants_are_folded_and_none_is_let_back(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state.db")
    clock = FakeClock()
    epochs = Epochs(state, most=10, clock=clock)
    old: list[Entry] = []
    for number in range(35):
        clock.now_s += 1.0
        tenant = digest(str(number))
        old.append(kept(epochs, tenant))
        epochs.bump(tenant)
        assert len(epochs) <= 10
        assert not any(epochs.holds(entry) for entry in old)
        assert epochs.holds(kept(epochs, tenant))
    assert len(state.epochs()) <= 12
    assert all(any(matches(selector, entry) for selector in epochs.selectors()) for entry in old)  # all are swept
    again = Epochs(state, most=10, clock=clock)
    assert not any(again.holds(entry) for entry in old)
    assert again.of(ONE) == epochs.of(ONE)
    other = Epochs()
    other.heard(epochs.bump())
    assert other.of(ONE) == epochs.of(ONE)
    state.close()


class Machines(RuleBasedStateMachine):
    """Two workers of one machine, a third of another, a slow network between all, and restarts.

    After each bump the entries that were made before it, by processes that had heard what the bumping one had, must not be
    served by who has heard of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.rows: tuple[dict[str, int], ...] = ({}, {})
        self.states = [_Rows(self.rows[0]), _Rows(self.rows[0]), _Rows(self.rows[1])]
        self.workers: list[Epochs] = []
        self.told: list[tuple[int, Selector]] = []
        self.entries: list[tuple[Entry, float]] = []
        self.bumps: list[tuple[float, str | None]] = []
        self.heard: list[set[int]] = []
        self.most: list[list[int]] = []

    @initialize()
    def begin(self) -> None:
        self.workers = [self.made(at) for at in range(3)]
        self.heard = [set(), set(), set()]
        self.most = [[0] * len(TENANTS) for _ in range(3)]

    def made(self, at: int) -> Epochs:
        return Epochs(self.states[at], most=2, clock=self.clock)  # type: ignore[arg-type]

    @rule(at=st.integers(0, 2), tenant=st.sampled_from(TENANTS))
    def keep(self, at: int, tenant: str) -> None:
        self.clock.now_s += 0.001
        self.entries.append((kept(self.workers[at], tenant), self.clock.now_s))

    @rule(at=st.integers(0, 2), tenant=st.sampled_from([*TENANTS, None]))
    def bump(self, at: int, tenant: str | None) -> None:
        self.clock.now_s += 0.001
        self.bumps.append((self.clock.now_s, tenant))
        number = len(self.bumps) - 1
        self.told.append((number, self.workers[at].bump(tenant)))
        self.heard[at].add(number)

    @rule(at=st.integers(0, 2), choice=st.randoms(use_true_random=False))
    def hear(self, at: int, choice: Random) -> None:
        if self.told:
            number, selector = choice.choice(self.told)
            self.workers[at].heard(selector)
            self.heard[at].add(number)

    @rule(at=st.integers(0, 2), choice=st.randoms(use_true_random=False))
    def see(self, at: int, choice: Random) -> None:
        if self.entries:
            self.workers[at].seen(choice.choice(self.entries)[0])

    @rule(at=st.integers(0, 2))
    def restart(self, at: int) -> None:
        self.workers[at] = self.made(at)

    @invariant()
    def none_is_lowered(self) -> None:
        for at, worker in enumerate(self.workers):
            now = [worker.of(tenant) for tenant in TENANTS]
            assert not any(is_before(epoch, before) for epoch, before in zip(now, self.most[at], strict=True))
            self.most[at] = now

    @invariant()
    def nothing_invalidated_is_served(self) -> None:
        for at, worker in enumerate(self.workers):
            for number in self.heard[at]:
                bumped_s, tenant = self.bumps[number]
                gone = [e for e, made_s in self.entries if made_s < bumped_s and tenant in (None, e.tenant)]
                assert not any(worker.holds(entry) for entry in gone)


class _Rows:
    """What the epochs need of a state store, in memory: hundreds of restarts are tried."""

    def __init__(self, rows: dict[str, int]) -> None:
        self._rows = rows

    def epochs(self) -> dict[str, int]:
        return dict(self._rows)

    def raise_epoch(self, name: str, value: int, over: tuple[str, ...] = ()) -> int:
        value = max([value, *(self._rows[other] + 1 for other in over if other in self._rows)])
        self._rows[name] = max(value, self._rows.get(name, 0))
        return self._rows[name]

    def raise_epoch_soon(self, name: str, value: int) -> None:
        self.raise_epoch(name, value)

    def drop_epochs(self, value: int, but: tuple[str, ...]) -> None:
        for name in [name for name, held in self._rows.items() if held <= value and name not in but]:
            del self._rows[name]


Machines.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMachines = Machines.TestCase
