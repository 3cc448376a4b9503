"""Deadlines on a loop that is idle, and on one that is late."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.breaker import Breaker, State
from forebay.middleware.deadline import MOST, within
from forebay.middleware.telemetry import Telemetry

TURN_S = 0.05
"""How long each turn of a busy loop takes here."""


class BusyLoop:
    """Blocks the running loop again and again, as a crowd of requests does."""

    def __init__(self, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._busy = False

    def __enter__(self) -> None:
        self._busy = True
        asyncio.get_running_loop().call_soon(self._work)

    def __exit__(self, *details: object) -> None:
        self._busy = False

    def _work(self) -> None:
        if self._busy:
            time.sleep(self._turn_s)
            asyncio.get_running_loop().call_soon(self._work)


async def hang() -> None:
    await asyncio.Event().wait()


async def after(turns: int) -> str:
    """Return after so many turns of the loop: what a quick dependency costs that answers through other tasks."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return "answer"


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    async with within(10.0) as deadline:
        answer = await after(3)
    assert answer == "answer"
    assert not deadline.expired
    assert not deadline.loop_was_late


async def test_on_an_idle_loop_a_hung_block_ends_at_its_deadline() -> None:
    loop = asyncio.get_running_loop()
    deadline = within(0.1)
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with deadline:
            await hang()
    assert loop.time() - began >= 0.1
    assert deadline.expired


async def test_a_deadline_of_nothing_still_lets_a_ready_result_through() -> None:
    async with within(0.0):
        assert await after(1) == "answer"
    with pytest.raises(TimeoutError):
        async with within(0.0):
            await hang()


async def test_a_result_that_is_ready_wins_over_the_timer() -> None:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()

    def late() -> None:
        time.sleep(0.05)
        found.set_result("answer")

    loop.call_later(0.01, late)
    async with within(0.02):  # both are due when the loop is free again
        assert await found == "answer"


async def test_a_block_is_not_charged_for_a_loop_that_is_busy() -> None:
    with BusyLoop():
        async with within(6 * TURN_S) as deadline:
            assert await after(9) == "answer"
    assert deadline.loop_was_late
    with BusyLoop(), pytest.raises(TimeoutError):
        async with asyncio.timeout(6 * TURN_S):  # what it replaces
            await after(9)


async def test_on_a_busy_loop_a_hung_block_ends_at_twice_its_deadline() -> None:
    loop = asyncio.get_running_loop()
    deadline = within(5 * TURN_S)
    with BusyLoop():
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with deadline:
                await hang()
    # the loop notices it one turn late, and the task hears of it in the next
    turns_late = (loop.time() - began - MOST * 5 * TURN_S) / TURN_S
    assert turns_late < 4
    assert deadline.loop_was_late


async def test_a_cancelled_caller_is_cancelled_and_not_timed_out() -> None:
    async def wait() -> None:
        async with within(30.0):
            await hang()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_is_cancelled_when_time_is_over_stays_cancelled() -> None:
    async def wait() -> None:
        async with within(0.02):
            try:
                await hang()
            except asyncio.CancelledError:
                here = asyncio.current_task()
                assert here is not None
                here.cancel()
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(wait())


async def test_the_outer_of_two_deadlines_ends_the_block_with_its_own_error() -> None:
    inner, outer = within(30.0), within(0.02)
    with pytest.raises(TimeoutError):
        async with outer, inner:
            await hang()
    assert outer.expired
    assert not inner.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_errors_of_the_block_go_through() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with within(1.0):
            raise ValueError("broken")


@settings(max_examples=20, deadline=None)
@given(turn_ms=st.integers(0, 30), turns=st.integers(0, 8))
def test_whatever_the_loop_does_a_block_ends_once_and_a_quick_one_with_its_answer(turn_ms: int, turns: int) -> None:
    """A block whose own work takes no time is not ended while its turns fit into twice the deadline."""

    async def run() -> None:
        with BusyLoop(turn_ms / 1000):
            async with within(0.3) as deadline:
                assert await after(turns) == "answer"
            assert not deadline.expired
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(run())


async def test_a_breaker_counts_no_failure_while_the_loop_is_late() -> None:
    telemetry = Telemetry(enabled=False)
    breaker = Breaker("store", telemetry, trip_after=1, rest_s=60.0)
    with BusyLoop(), pytest.raises(TimeoutError):
        await breaker.call(hang, 2 * TURN_S)
    states = [breaker.state]
    assert [key[2] for key in telemetry.counts] == ["error=EventLoopLate"]
    with pytest.raises(TimeoutError):
        await breaker.call(hang, 0.01)
    states.append(breaker.state)
    assert states == [State.CLOSED, State.OPEN]


async def test_a_breaker_opens_on_a_busy_loop_too_where_nothing_succeeds_for_long() -> None:
    now = [0.0]
    breaker = Breaker("store", Telemetry(enabled=False), trip_after=1, rest_s=5.0, clock=lambda: now[0])

    async def hang_for_long() -> None:
        now[0] += 5.0
        await hang()

    with BusyLoop(), pytest.raises(TimeoutError):
        await breaker.call(hang_for_long, 2 * TURN_S)
    assert breaker.state is State.OPEN


async def test_a_dependency_with_a_deadline_of_its_own_is_to_blame_when_that_passes() -> None:
    breaker = Breaker("store", Telemetry(enabled=False), trip_after=1)

    async def gives_up() -> None:
        await after(2)
        raise TimeoutError

    with BusyLoop(), pytest.raises(TimeoutError):
        await breaker.call(gives_up, 60.0)
    assert breaker.state is State.OPEN
