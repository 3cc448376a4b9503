from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from forebay.middleware.analysis.guard import REST_S, TRIP_AFTER, Guard
from forebay.middleware.telemetry import Telemetry


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0

    def __call__(self) -> float:
        return self.now


def guarded() -> tuple[Guard, Clock, Telemetry]:
    clock, telemetry = Clock(), Telemetry(enabled=False)
    return Guard("predictor", "mine", telemetry, 0.02, clock=clock, cpu=lambda: clock.cpu), clock, telemetry


def crash() -> str:
    raise RuntimeError


def slow(clock: Clock) -> Callable[[], str]:
    def call() -> str:
        clock.now += 0.05
        clock.cpu += 0.03
        return "late"

    return call


def test_what_works_is_handed_on() -> None:
    guard, _, telemetry = guarded()
    assert guard.run(lambda: "fact", str) == ("fact", "")
    assert not telemetry.counts


def test_each_failure_has_its_reason_and_is_counted() -> None:
    guard, clock, telemetry = guarded()
    assert guard.run(crash, str) == (None, "error")
    assert guard.run(lambda: "fact", str) == ("fact", "")
    wrong: Any = 7
    assert guard.run(lambda: wrong, str) == (None, "wrong")
    assert guard.run(slow(clock), str) == (None, "slow")
    assert sum(telemetry.counts.values()) == 3


def test_a_busy_machine_is_not_held_against_it_but_blocking_is() -> None:
    guard, clock, _ = guarded()

    def waits(seconds: float) -> Callable[[], str]:
        def call() -> str:
            clock.now += seconds
            return "fact"

        return call

    assert guard.run(waits(0.07), str) == ("fact", "")
    assert guard.run(waits(0.09), str) == (None, "slow")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_not_a_failure(ending: type[BaseException]) -> None:
    guard, _, _ = guarded()

    def end() -> str:
        raise ending

    with pytest.raises(ending):
        guard.run(end, str)


def test_one_that_keeps_failing_rests_and_is_tried_again() -> None:
    guard, clock, _ = guarded()
    for _ in range(TRIP_AFTER):
        assert guard.run(crash, str) == (None, "error")
    assert guard.run(lambda: "fact", str) == (None, "resting")
    clock.now += REST_S
    assert guard.run(lambda: "fact", str) == ("fact", "")


def test_failures_that_are_not_in_a_row_do_not_add_up() -> None:
    guard, _, _ = guarded()
    for _ in range(3 * TRIP_AFTER):
        assert guard.run(crash, str) == (None, "error")
        assert guard.run(lambda: "fact", str) == ("fact", "")


def test_what_nobody_waits_for_fails_quietly() -> None:
    guard, _, telemetry = guarded()
    guard.quiet(crash)
    assert sum(telemetry.counts.values()) == 1
    assert guard.run(lambda: "fact", str) == ("fact", "")
