"""Calling observers: in order, bounded in time, and each failure kept to itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from forebay import hookimpl
from forebay.middleware.events import Decision
from forebay.middleware.observers import ObserverCaller
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = Decision("r", "lookup", "miss")
HOOK = "decision_made"


class Odd(BaseException):
    """Neither an exception nor an exit."""


def caller(*calls: Callable[..., Any], **options: Any) -> ObserverCaller:
    return ObserverCaller({HOOK: [(f"p{at}", call) for at, call in enumerate(calls)]}, **options)


def ok(record: object) -> object:
    return record


async def slowly(record: object) -> object:
    await asyncio.sleep(0)
    return record


async def hang(record: object) -> None:
    await asyncio.Event().wait()


def raising(error: BaseException, *, later: bool = False) -> Callable[[object], Any]:
    def now(record: object) -> None:
        raise error

    async def then(record: object) -> None:
        await asyncio.sleep(0)
        raise error

    return then if later else now


async def test_plain_and_coroutine_functions_run_in_order_and_get_the_record() -> None:
    seen: list[str] = []

    async def first(record: object) -> None:
        await asyncio.sleep(0)
        seen.append("first")

    def second(record: object) -> None:
        seen.append("second")

    assert await caller(first, second, slowly, ok).fire(HOOK, RECORD) == [None, None, RECORD, RECORD]
    assert seen == ["first", "second"]


async def test_what_can_be_awaited_is_awaited() -> None:
    def made(record: object) -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(slowly(record))

    assert await caller(made).fire(HOOK, RECORD) == [RECORD]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), Odd(), asyncio.CancelledError(), TimeoutError(), StopAsyncIteration()]
)
async def test_whatever_one_raises_the_next_runs(error: BaseException, later: bool) -> None:
    telemetry = Telemetry(enabled=False)
    assert await caller(raising(error, later=later), ok, telemetry=telemetry).fire(HOOK, RECORD) == [RECORD]
    assert telemetry.counts == {
        ("forebay.plugin.errors", f"error={type(error).__name__}", f"hook={HOOK}", "plugin=p0"): 1
    }


async def test_ctrl_c_passes_through() -> None:
    def interrupted(record: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await caller(interrupted).fire(HOOK, RECORD)


async def test_one_that_hangs_is_cancelled_and_counts_as_failed() -> None:
    telemetry = Telemetry(enabled=False)
    observers = caller(hang, ok, telemetry=telemetry, timeout_s=0.01)
    assert await observers.fire(HOOK, RECORD) == [RECORD]
    assert [labels[1] for labels in telemetry.counts] == ["error=TimeoutError"]


async def test_a_single_call_may_be_given_more_time() -> None:
    async def short(record: object) -> str:
        await asyncio.sleep(0.02)
        return "done"

    observers = caller(short, timeout_s=0.001)
    assert await observers.fire(HOOK, RECORD) == []
    assert await observers.fire(HOOK, RECORD, timeout_s=10.0) == ["done"]


async def test_after_five_failures_in_a_row_it_is_left_out_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("forebay.middleware.observers.monotonic", lambda: now[0])
    calls: list[bool] = []
    broken = [True]

    def sometimes(record: object) -> str:
        calls.append(broken[0])
        if broken[0]:
            raise ValueError
        return "back"

    observers = caller(sometimes, ok, rest_s=30.0)
    for _ in range(5):
        assert await observers.fire(HOOK, RECORD) == [RECORD]
    assert observers.tripped() == [f"p0.{HOOK}"]
    await observers.fire(HOOK, RECORD)
    assert len(calls) == 5
    now[0], broken[0] = 30.0, False
    assert await observers.fire(HOOK, RECORD) == ["back", RECORD]
    assert observers.tripped() == []


async def test_a_success_between_failures_starts_the_count_anew() -> None:
    turn = [0]

    def mostly(record: object) -> None:
        turn[0] += 1
        if turn[0] % 5:
            raise ValueError

    observers = caller(mostly)
    for _ in range(20):
        await observers.fire(HOOK, RECORD)
    assert turn[0] == 20


async def test_only_the_first_failure_and_the_trip_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    observers = caller(raising(ValueError("canary-7f3a")))
    with caplog.at_level(logging.WARNING):
        for _ in range(9):
            await observers.fire(HOOK, RECORD)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin p0 failed in decision_made: ValueError",
        "plugin p0 is left out of decision_made for 30 s: 5 failures in a row",
    ]


async def test_cancelling_the_caller_passes_through_and_is_no_failure() -> None:
    entered = asyncio.Event()
    reached: list[object] = []

    async def waits(record: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    telemetry = Telemetry(enabled=False)
    task = asyncio.create_task(caller(waits, reached.append, telemetry=telemetry).fire(HOOK, RECORD))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == []
    assert not telemetry.counts


async def test_an_enclosing_deadline_passes_through() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await caller(hang, timeout_s=60.0).fire(HOOK, RECORD)


async def test_closing_the_coroutine_ends_it() -> None:
    fired = caller(slowly, slowly).fire(HOOK, RECORD)
    fired.send(None)
    fired.close()
    with pytest.raises(RuntimeError, match="already awaited"):
        fired.send(None)


async def test_an_implementation_may_leave_out_the_record() -> None:
    class Bare:
        @hookimpl
        def decision_made(self) -> str:
            return "bare"

        @hookimpl
        async def request_finished(self) -> str:
            return "bare too"

    manager = PluginManager()
    manager.register(Bare(), "bare")
    observers = ObserverCaller(manager.observers())
    assert await observers.fire(HOOK, RECORD) == ["bare"]
    assert await observers.fire("request_finished", RECORD) == ["bare too"]


async def test_it_knows_which_hooks_anybody_implements() -> None:
    observers = caller(ok)
    assert observers.has(HOOK)
    assert not observers.has("startup")
    assert await observers.fire("startup", RECORD) == []
