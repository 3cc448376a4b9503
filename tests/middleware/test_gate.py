"""The queue in front of the engine, and its leases."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from forebay.middleware.errors import ShedError
from forebay.middleware.gate import Gate, Lease
from forebay.middleware.records import Load, Ticket
from tests.middleware.parts import AtMost, FakeClock, Queue, ticket, until

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = 60.0


class Rig:
    """A gate whose limit can be moved."""

    def __init__(self, most: int = 1, *, max_queue: int = 100, ordering: Any = None, limit: Any = None) -> None:
        self.limit = limit if limit is not None else AtMost(most)
        self.ordering = ordering if ordering is not None else Queue()
        self.clock = FakeClock()
        self.gate = Gate(self.ordering, self.limit, max_queue=max_queue, clock=self.clock)

    async def enter(self, name: str, *, tokens: int = 0) -> Lease:
        return await self.gate.acquire(ticket(name, tokens=tokens), FOREVER)

    def wait(self, name: str, timeout_s: float = FOREVER) -> asyncio.Task[Lease]:
        return asyncio.create_task(self.gate.acquire(ticket(name), timeout_s))

    async def queue(self, *names: str) -> list[asyncio.Task[Lease]]:
        """Let these wait, in this order."""
        tasks = []
        for name in names:
            queued = self.gate.load.queued
            tasks.append(self.wait(name))
            await until(lambda queued=queued: self.gate.load.queued == queued + 1)  # type: ignore[misc]
        return tasks

    @property
    def empty(self) -> bool:
        return self.gate.load == Load(0, 0, 0) and len(self.ordering) == 0


async def test_while_there_is_room_nobody_waits() -> None:
    rig = Rig(2)
    first, second = await rig.enter("a", tokens=5), await rig.enter("b", tokens=7)
    assert rig.gate.load == Load(inflight=2, queued=0, inflight_tokens=12)
    assert first.waited_s == 0.0
    first.release()
    second.release()
    assert rig.empty


async def test_first_come_first_served() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b", "c")
    order = []
    for task in tasks:
        rig.clock.now_s += 2.0
        lease.release()
        lease = await task
        order.append(lease.waited_s)
        assert rig.gate.load.inflight == 1
    assert order == [2.0, 4.0, 6.0]
    lease.release()
    assert rig.empty


async def test_nobody_overtakes_those_who_wait() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    (waiting,) = await rig.queue("a")
    rig.limit.most = 2  # room, but "a" was there before
    late = rig.wait("late")
    await waiting
    assert not late.done()
    lease.release()
    (await waiting).release()
    (await late).release()
    assert rig.empty


async def test_the_queue_is_bounded() -> None:
    rig = Rig(1, max_queue=2)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b")
    with pytest.raises(ShedError) as raised:
        await rig.enter("c")
    assert (raised.value.reason, raised.value.status, raised.value.retry_after_s) == ("queue_full", 429, 1)
    with pytest.raises(ShedError):
        rig.gate.check_room(ticket("c"))
    assert rig.gate.load.queued == 2
    for task in tasks:
        lease.release()
        lease = await task
    lease.release()
    rig.gate.check_room(ticket("c"))
    assert rig.empty


async def test_without_a_queue_only_room_lets_in() -> None:
    rig = Rig(1, max_queue=0)
    lease = await rig.enter("a")
    with pytest.raises(ShedError):
        await rig.enter("b")
    lease.release()
    (await rig.enter("b")).release()


async def test_a_wait_that_takes_too_long_ends_in_shedding() -> None:
    rig = Rig(0)
    with pytest.raises(ShedError) as raised:
        await rig.gate.acquire(ticket("a"), 0.01)
    assert (raised.value.reason, raised.value.retry_after_s) == ("queue_timeout", 1)
    assert rig.empty


async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b")
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    lease.release()
    (await tasks[1]).release()
    assert rig.empty


async def test_who_is_cancelled_at_the_moment_of_admission_passes_the_place_on() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b")
    lease.release()  # "a" is let in but has not run yet
    assert rig.gate.load == Load(inflight=1, queued=1)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    (await tasks[1]).release()
    assert rig.empty


async def test_a_timeout_at_the_moment_of_admission_passes_the_place_on() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    hurried = rig.wait("a", 0.02)
    await until(lambda: rig.gate.load.queued == 1)
    (patient,) = await rig.queue("b")
    asyncio.get_running_loop().call_later(0.001, lease.release)
    time.sleep(0.05)  # noqa: ASYNC251  (both are due now: the loop runs them with no task between)
    with pytest.raises(ShedError):
        await hurried
    (await patient).release()
    assert rig.empty


async def test_a_lease_is_given_back_once() -> None:
    rig = Rig(1)
    lease = await rig.enter("first", tokens=3)
    tasks = await rig.queue("a", "b")
    for _ in range(3):
        lease.release()
    await asyncio.sleep(0)
    await tasks[0]
    assert rig.gate.load == Load(inflight=1, queued=1)
    (await tasks[0]).release()
    (await tasks[1]).release()
    assert rig.empty


class Tokens:
    """Room for so many tokens."""

    def __init__(self, most: int) -> None:
        self.most = most

    def admits(self, ticket: Ticket, load: Load) -> bool:
        return load.inflight_tokens + ticket.input_tokens <= self.most


async def test_when_a_big_one_leaves_the_queue_the_small_ones_behind_it_go_in() -> None:
    rig = Rig(limit=Tokens(10))
    lease = await rig.enter("first", tokens=5)
    big = asyncio.create_task(rig.gate.acquire(ticket("big", tokens=100), FOREVER))
    await until(lambda: rig.gate.load.queued == 1)
    small = asyncio.create_task(rig.gate.acquire(ticket("small", tokens=5), FOREVER))
    await until(lambda: rig.gate.load.queued == 2)
    big.cancel()
    (await small).release()
    lease.release()
    assert rig.empty


class Broken(Queue):
    """An ordering or limit of which one method raises."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        self.method = method
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        if name in ("push", "peek", "remove", "admits") and name == super().__getattribute__("method"):
            return self._raise
        return super().__getattribute__(name)

    def _raise(self, *_args: object) -> Any:
        raise self.error

    def admits(self, ticket: Ticket, load: Load) -> bool:
        return load.inflight < 1


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration()], ids=repr)
@pytest.mark.parametrize("method", ["push", "peek", "remove"])
async def test_a_broken_ordering_holds_nobody_back_and_leaks_nothing(method: str, error: Exception) -> None:
    part = Broken("", error)
    rig = Rig(ordering=part, limit=part)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b")
    part.method = method
    if method == "push":
        with pytest.raises((ValueError, RuntimeError)):
            await rig.enter("c")
        assert rig.gate.load == Load(inflight=1, queued=2)
        part.method = ""
        lease.release()
        for task in tasks:
            (await task).release()
        assert rig.empty
        return
    lease.release()
    for task in tasks:
        with pytest.raises((ValueError, RuntimeError)):
            await task
    part.method = ""
    assert rig.gate.load == Load(0, 0, 0)
    part.tickets.clear()
    (await rig.enter("d")).release()
    assert rig.empty


async def test_a_broken_limit_holds_nobody_back_and_leaks_nothing() -> None:
    part = Broken("", ValueError("x"))
    rig = Rig(ordering=part, limit=part)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b")
    part.method = "admits"
    lease.release()
    for task in tasks:
        with pytest.raises(ValueError, match="x"):
            await task
    assert rig.empty
    with pytest.raises(ValueError, match="x"):
        rig.gate.check_room(ticket("c"))
    part.method = ""
    (await rig.enter("d")).release()
    assert rig.empty


async def test_cancelling_one_who_waits_in_a_broken_ordering_stays_a_cancellation() -> None:
    part = Broken("", ValueError("x"))
    rig = Rig(ordering=part, limit=part)
    lease = await rig.enter("first")
    (task,) = await rig.queue("a")
    part.method = "remove"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lease.release()
    assert rig.gate.load == Load(0, 0, 0)


async def test_an_ordering_that_offers_what_it_cannot_remove_does_not_hang_the_process() -> None:
    class Ghost(Queue):
        def peek(self, now_s: float) -> Ticket | None:
            return ticket("ghost")

    rig = Rig(1, ordering=Ghost())
    lease = await rig.enter("first")
    (task,) = await rig.queue("a")
    lease.release()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.gate.load == Load(0, 0, 0)


class GateMachine(RuleBasedStateMachine):
    """Any history of arrivals, departures, cancellations and moving limits keeps the books right."""

    arrivals: Bundle[str] = Bundle("arrivals")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.rig = Rig(2, max_queue=4)
        self.tasks: dict[str, asyncio.Task[Lease]] = {}
        self.names = 0

    def run(self, step: Callable[[], object] = lambda: None) -> None:
        async def turn() -> None:
            step()
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(turn())

    @rule(target=arrivals, many=st.integers(1, 3))
    def arrive(self, many: int) -> Any:
        names = [f"t{self.names + at}" for at in range(many)]
        self.names += many

        def start() -> None:
            for name in names:
                self.tasks[name] = self.rig.wait(name)

        self.run(start)
        return multiple(*names)

    @rule(name=consumes(arrivals))
    def leave(self, name: str) -> None:
        task = self.tasks[name]
        if task.done() and not task.cancelled() and task.exception() is None:
            self.run(task.result().release)
            self.run(task.result().release)

    @rule(name=arrivals)
    def cancel(self, name: str) -> None:
        self.run(self.tasks[name].cancel)

    @rule(one=arrivals, other=arrivals)
    def release_one_and_cancel_another_at_once(self, one: str, other: str) -> None:
        task = self.tasks[one]

        def both() -> None:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().release()
            self.tasks[other].cancel()

        self.run(both)

    @rule(most=st.integers(0, 4))
    def move_the_limit(self, most: int) -> None:
        self.rig.limit.most = most

    @invariant()
    def the_books_are_right(self) -> None:
        load = self.rig.gate.load
        waiting = [task for task in self.tasks.values() if not task.done()]
        assert load.queued == len(waiting) == len(self.rig.ordering) <= 4
        held = [task for task in self.tasks.values() if task.done() and not task.cancelled()]
        leases = [task.result() for task in held if task.exception() is None]
        assert load.inflight == sum(lease._give_back is not None for lease in leases)
        assert load.inflight <= 4
        assert all(isinstance(task.exception(), ShedError) for task in held if task.exception() is not None)

    def teardown(self) -> None:
        self.rig.limit.most = 100

        async def drain() -> None:
            last = self.rig.wait("last") if len(self.rig.ordering) < 4 else None
            if last is None:
                for task in self.tasks.values():
                    if task.done() and not task.cancelled() and task.exception() is None:
                        task.result().release()
                if self.rig.gate.load.queued:
                    waiting = next(task for task in self.tasks.values() if not task.done())
                    waiting.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            if last is not None:
                (await last).release()
            async with asyncio.timeout(10.0):  # nobody is lost
                for task in self.tasks.values():
                    with suppress(asyncio.CancelledError, ShedError):
                        (await task).release()
            assert self.rig.empty

        try:
            self.runner.run(drain())
        finally:
            self.runner.close()


GateMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestGateMachine = GateMachine.TestCase
