"""The circuit breaker."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from forebay.middleware.breaker import Breaker, OpenError, State
from forebay.middleware.errors import AdapterError, StoreError
from forebay.middleware.telemetry import Telemetry
from tests.middleware.parts import FakeClock


class Rig:
    """A breaker around a dependency that does as it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.telemetry = Telemetry(enabled=False)
        self.breaker = Breaker("store", self.telemetry, trip_after=3, rest_s=5.0, clock=self.clock)
        self.calls = 0

    async def ask(self, error: BaseException | None = None, deadline_s: float = 10.0) -> str:
        async def work() -> str:
            self.calls += 1
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return "answer"

        return await self.breaker.call(work, deadline_s)

    async def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(StoreError):
                await self.ask(StoreError("down"))

    def state(self) -> State:
        return self.breaker.state

    def errors(self) -> dict[str, int]:
        return {key[2].removeprefix("error="): count for key, count in self.telemetry.counts.items()}


async def test_it_hands_answers_and_errors_through() -> None:
    rig = Rig()
    assert await rig.ask() == "answer"
    await rig.fail()
    assert rig.state() is State.CLOSED
    assert rig.errors() == {"StoreError": 1}


async def test_failures_in_a_row_open_it_and_then_nothing_is_asked() -> None:
    rig = Rig()
    await rig.fail(3)
    with pytest.raises(OpenError, match="store failed 3 times in a row and is left alone for a while"):
        await rig.ask()
    assert rig.state() is State.OPEN
    assert rig.calls == 3
    assert rig.errors() == {"StoreError": 3}


async def test_a_success_between_them_starts_the_count_anew() -> None:
    rig = Rig()
    for _ in range(4):
        await rig.fail(2)
        await rig.ask()
    assert rig.state() is State.CLOSED


async def test_after_a_rest_one_call_is_let_through_and_a_success_closes_it() -> None:
    rig = Rig()
    await rig.fail(3)
    rig.clock.now_s += 4.9
    with pytest.raises(OpenError):
        await rig.ask()
    rig.clock.now_s += 0.1
    probe = asyncio.create_task(rig.ask())
    await asyncio.sleep(0)
    assert rig.state() is State.HALF_OPEN
    with pytest.raises(OpenError):
        await rig.ask()
    assert await probe == "answer"
    assert rig.state() is State.CLOSED
    await rig.fail(2)
    assert rig.state() is State.CLOSED


async def test_a_probe_that_fails_starts_another_rest() -> None:
    rig = Rig()
    await rig.fail(3)
    rig.clock.now_s += 5.0
    await rig.fail()
    assert rig.state() is State.OPEN
    rig.clock.now_s += 4.9
    with pytest.raises(OpenError):
        await rig.ask()
    rig.clock.now_s += 0.1
    assert await rig.ask() == "answer"


async def test_a_call_that_takes_too_long_is_cancelled_and_counts() -> None:
    rig = Rig()
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await rig.breaker.call(hang, 0.001)
    assert cancelled.is_set()
    assert rig.state() is State.OPEN
    assert rig.errors() == {"TimeoutError": 3}


async def cancelled_after(rig: Rig, seconds: float, deadline_s: float = 10.0) -> None:
    """Cancel a call that hangs when the clock has moved on."""
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(rig.breaker.call(hang, deadline_s))
    await entered.wait()
    rig.clock.now_s += seconds
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_early_counts_as_nothing() -> None:
    rig = Rig()
    await rig.fail(2)
    await cancelled_after(rig, 1.0)
    assert rig.state() is State.CLOSED
    assert rig.errors() == {"StoreError": 2}
    await rig.fail()
    assert rig.state() is State.OPEN


async def test_a_dependency_that_hangs_opens_it_even_where_an_enclosing_deadline_is_shorter() -> None:
    rig = Rig()
    for _ in range(3):
        await cancelled_after(rig, 5.0)
    assert rig.state() is State.OPEN


async def test_a_probe_whose_caller_left_tells_nothing_and_the_next_call_probes() -> None:
    rig = Rig()
    await rig.fail(3)
    rig.clock.now_s += 5.0
    await cancelled_after(rig, 0.0)
    assert rig.state() is State.OPEN
    assert await rig.ask() == "answer"
    assert rig.state() is State.CLOSED


async def test_a_dependency_that_cancels_itself_does_not_cancel_the_caller() -> None:
    rig = Rig()
    for _ in range(3):
        with pytest.raises(AdapterError, match="store cancelled its own work"):
            await rig.ask(asyncio.CancelledError())
    assert rig.state() is State.OPEN
    assert rig.errors() == {"CancelledError": 3}


async def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    with caplog.at_level(logging.DEBUG, "forebay.middleware.breaker"):
        await rig.fail(3)
        for _ in range(4):
            rig.clock.now_s += 5.0
            await rig.fail()
        rig.clock.now_s += 5.0
        await rig.ask()
        await rig.ask()
    assert [record.getMessage() for record in caplog.records] == [
        "store is failing (StoreError): left alone for 5 s at a time, requests go on",
        "store works again",
    ]


async def test_no_coroutine_is_made_while_it_is_open() -> None:
    rig = Rig()
    await rig.fail(3)
    made: list[Any] = []

    def make() -> Any:
        made.append(1)

    with pytest.raises(OpenError):
        await rig.breaker.call(make, 1.0)
    assert made == []
