"""The queue in front of the engine, and its leases."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from forebay.middleware.admission.tickets import Load, Ticket
from forebay.middleware.errors import ShedError
from tests.middleware.admission.gate_rig import FOREVER, Rig
from tests.middleware.parts import Queue, counted, ticket, until


async def test_while_there_is_room_nobody_waits() -> None:
    rig = Rig(2)
    first, second = await rig.enter("a", tokens=5), await rig.enter("b", tokens=7)
    assert counted(rig.gate.load) == Load(inflight=2, queued=0, inflight_tokens=12)
    assert first.waited_s == 0.0
    first.release()
    second.release()
    assert rig.empty


async def test_first_come_first_served() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    tasks = await rig.queue("a", "b", "c")
    order: list[float] = []
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
    assert counted(rig.gate.load) == Load(inflight=1, queued=1)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    (await tasks[1]).release()
    assert rig.empty


async def test_a_timeout_at_the_moment_of_admission_passes_the_place_on() -> None:
    rig = Rig(1)
    lease = await rig.enter("first")
    hurried = rig.wait("a", 0.2)
    await until(lambda: rig.gate.load.queued == 1)
    (patient,) = await rig.queue("b")
    asyncio.get_running_loop().call_later(0.001, lease.release)
    time.sleep(0.25)  # noqa: ASYNC251  (both are due now: the loop runs them with no task between)
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
    assert counted(rig.gate.load) == Load(inflight=1, queued=1)
    (await tasks[0]).release()
    (await tasks[1]).release()
    assert rig.empty


async def test_an_old_lease_does_not_give_back_the_place_of_a_retry() -> None:
    rig = Rig(1)
    first = await rig.enter("a")
    first.release()
    second = await rig.enter("a")
    first.release()
    assert rig.gate.load.inflight == 1
    second.release()
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
        assert counted(rig.gate.load) == Load(inflight=1, queued=2)
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
    assert counted(rig.gate.load) == Load(0, 0, 0)
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
        await rig.enter("c")
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
    assert counted(rig.gate.load) == Load(0, 0, 0)


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
    assert counted(rig.gate.load) == Load(0, 0, 0)
