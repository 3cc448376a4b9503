"""A limit that several workers share, under any history of arrivals, departures and failures of what they share it
through."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forebay.middleware.admission.shared_gate import SharedGate
from forebay.middleware.admission.tickets import Load
from forebay.middleware.coordination import Claimed, Roster, Told, Worker
from forebay.middleware.errors import CoordinationError, ShedError
from forebay.middleware.protocols import Coordination
from forebay.middleware.records import Selector
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.ordering.fcfs import FCFS
from tests.middleware.parts import counted, ticket, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.middleware.admission.gate import Lease
    from forebay.middleware.coordination import Listener

FOREVER = 60.0
WORKERS = 2
PLACES = 3


class Pool:
    """The places of all workers, in this process."""

    def __init__(self, places: int = PLACES) -> None:
        self.places = places
        self.taken: set[tuple[int, str]] = set()
        self.up = True
        self.freed = asyncio.Condition()


class FakeCoordination:
    """A worker's end of a pool."""

    def __init__(self, pool: Pool, rank: int, workers: int = WORKERS) -> None:
        self.pool = pool
        self.rank = rank
        self.workers = tuple(Worker(f"w{at}", at) for at in range(workers))

    def roster(self) -> Roster:
        return Roster(self.workers, self.rank, shareable=True, shared=self.pool.up)

    def hear(self, listener: Listener) -> None: ...

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        return Told()

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        async with self.pool.freed:
            try:
                async with asyncio.timeout(wait_s):
                    while True:
                        if not self.pool.up:
                            raise CoordinationError("down")
                        if len(self.pool.taken) < places:
                            self.pool.taken.add((self.rank, member))
                            return Claimed(granted=True)
                        await self.pool.freed.wait()
            except TimeoutError:
                return Claimed(granted=False)

    async def release(self, name: str, member: str, left: str | None = None) -> None:
        async with self.pool.freed:  # while it is down, a place runs out by itself
            self.pool.taken.discard((self.rank, member))
            self.pool.freed.notify_all()


def gate_of(pool: Pool, rank: int = 0, *, max_queue: int = 100) -> SharedGate:
    coordination = FakeCoordination(pool, rank)
    assert isinstance(coordination, Coordination)
    limit = FixedLimit(max_inflight=pool.places)
    return SharedGate("lane", pool.places, coordination, FCFS(), limit, max_queue=max_queue)


async def turn(pool: Pool, gates: list[SharedGate], *, up: bool) -> None:
    """Let what they share it through go down, or come up."""
    async with pool.freed:
        pool.up = up
        pool.freed.notify_all()
    for gate in gates:
        gate.resume(gate._coordination.roster())  # pyright: ignore[reportPrivateUsage]
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_worker_may_use_all_places_and_the_rest_waits_in_order() -> None:
    pool = Pool()
    gate = gate_of(pool)
    leases = [await gate.acquire(ticket(f"t{at}"), FOREVER) for at in range(PLACES)]
    tasks = [asyncio.create_task(gate.acquire(ticket(f"late {at}"), FOREVER)) for at in range(4)]
    await until(lambda: gate.load.queued == 4)
    order: list[int] = []
    for at, task in enumerate(tasks):
        leases.pop(0).release()
        leases.append(await task)
        order.append(at)
        assert [each.done() for each in tasks] == [True] * (at + 1) + [False] * (3 - at)
    for lease in leases:
        lease.release()
    await until(lambda: not pool.taken)
    assert counted(gate.load) == Load(0, 0, 0)


async def test_the_wait_here_and_there_has_one_end() -> None:
    pool = Pool(1)
    here, there = gate_of(pool), gate_of(pool, 1)
    lease = await there.acquire(ticket("x"), FOREVER)
    late = [asyncio.create_task(here.acquire(ticket(f"t{at}"), 0.05)) for at in range(3)]
    for task in late:
        with pytest.raises(ShedError, match="queue_timeout"):
            await task
    assert counted(here.load) == Load(0, 0, 0)
    lease.release()
    (await here.acquire(ticket("y"), FOREVER)).release()


async def test_who_competes_when_it_goes_down_gets_in_by_its_workers_part() -> None:
    pool = Pool(4)
    here, there = gate_of(pool), gate_of(pool, 1)
    leases = [await there.acquire(ticket(f"t{at}"), FOREVER) for at in range(4)]
    tasks = [asyncio.create_task(here.acquire(ticket(f"u{at}"), FOREVER)) for at in range(3)]
    await until(lambda: here.load.queued == 2)
    await turn(pool, [here, there], up=False)
    await until(lambda: counted(here.load) == Load(2, 1, 0))  # its half
    assert [task.done() for task in tasks] == [True, True, False]
    await turn(pool, [here, there], up=True)
    await until(lambda: len(pool.taken) == 6)  # those inside without a place have taken one
    assert not tasks[2].done()
    for lease in leases:
        lease.release()
    for task in tasks:
        (await task).release()
    await until(lambda: counted(here.load) == counted(there.load) == Load(0, 0, 0))


async def test_a_coordination_that_says_yes_and_does_no_holds_nobody_back() -> None:
    pool = Pool(1)
    gate = gate_of(pool)

    async def claim(*_: object) -> Claimed:
        raise CoordinationError("odd")

    gate._coordination.claim = claim  # type: ignore[assignment, method-assign]
    (await gate.acquire(ticket("x"), FOREVER)).release()
    assert counted(gate.load) == Load(0, 0, 0)


class SharedGateMachine(RuleBasedStateMachine):
    """Two workers and three places: never more inside than there are while all is well, and nobody is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pool = self.runner.run(self.new_pool())
        self.gates = [gate_of(self.pool, rank) for rank in range(WORKERS)]
        self.tasks: dict[str, asyncio.Task[Lease]] = {}
        self.names = 0
        self.well = True

    async def new_pool(self) -> Pool:
        return Pool()

    def run(self, step: Callable[[], object]) -> None:
        async def go() -> None:
            done = step()
            if asyncio.iscoroutine(done):
                await done
            for _ in range(30):
                await asyncio.sleep(0)

        self.runner.run(go())

    def inside(self) -> list[str]:
        return [n for n, t in self.tasks.items() if t.done() and not t.cancelled() and t.exception() is None]

    @rule(rank=st.integers(0, WORKERS - 1), many=st.integers(1, 3))
    def arrive(self, rank: int, many: int) -> None:
        def start() -> None:
            for _ in range(many):
                name = f"t{self.names}"
                self.names += 1
                self.tasks[name] = asyncio.create_task(self.gates[rank].acquire(ticket(name), FOREVER))

        self.run(start)

    @precondition(lambda self: self.inside())
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        name = data.draw(st.sampled_from(self.inside()))
        self.run(self.tasks.pop(name).result().release)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.tasks)))
        task = self.tasks[name]
        self.run(task.cancel)
        if task.cancelled():
            del self.tasks[name]

    @rule()
    def go_down(self) -> None:
        self.well = False
        self.run(lambda: turn(self.pool, self.gates, up=False))

    @rule()
    def come_up(self) -> None:
        self.run(lambda: turn(self.pool, self.gates, up=True))

    @invariant()
    def the_books_are_right(self) -> None:
        inside = len(self.inside())
        if self.well:
            assert inside <= PLACES
            assert len(self.pool.taken) == inside
            assert inside == min(PLACES, len(self.tasks))  # no place is free while somebody waits
        if not self.pool.up:
            for gate in self.gates:
                part = gate._coordination.roster().part_of(PLACES)  # pyright: ignore[reportPrivateUsage]
                assert not gate.load.queued or gate.load.inflight >= part
        if self.pool.up and inside:
            assert len(self.pool.taken) >= inside  # who got in meanwhile is counted

    def teardown(self) -> None:
        async def drain() -> None:
            await turn(self.pool, self.gates, up=True)
            async with asyncio.timeout(10.0):
                while self.tasks:
                    done = self.inside()
                    for name in done:
                        self.tasks.pop(name).result().release()
                    for name, task in list(self.tasks.items()):
                        if task.done():
                            with suppress(asyncio.CancelledError, ShedError):
                                task.result()
                            self.tasks.pop(name, None)
                    await asyncio.sleep(0)
                for _ in range(30):
                    await asyncio.sleep(0)
            assert all(counted(gate.load) == Load(0, 0, 0) for gate in self.gates)
            assert not self.pool.taken

        try:
            self.runner.run(drain())
        finally:
            self.runner.close()


SharedGateMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSharedGateMachine = SharedGateMachine.TestCase
