"""Calls one part of the analysis and keeps its failures to itself.

A part that raises, returns something else than it promised, or takes too long costs its fact, never the request. A slow one
cannot be interrupted on the event loop; its result is dropped, and one that fails several times in a row is left out for a
while, so that it cannot hold up every request.
"""

from __future__ import annotations

import logging
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..telemetry import Telemetry

log = logging.getLogger(__name__)
T = TypeVar("T")
TRIP_AFTER: Final = 3
REST_S: Final = 30.0
BLOCKED: Final = 4.0


class Guard:
    """Guards one part.

    Args:
        kind, name: of the part, for counts and logs.
        budget_s: what takes longer is too slow. It is CPU time of this thread, so that a machine that is busy with something
            else is not held against it; what blocks without computing may take four times as long.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        telemetry: Telemetry,
        budget_s: float,
        *,
        clock: Callable[[], float] = perf_counter,
        cpu: Callable[[], float] = thread_time,
    ) -> None:
        self.name = name
        self._kind = kind
        self._telemetry = telemetry
        self._budget_s = budget_s
        self._clock = clock
        self._cpu = cpu
        self._failures = 0
        self._rests_until_s = float("-inf")

    def run(self, call: Callable[[], T], promised: type[T]) -> tuple[T | None, str]:
        """Call it; return the result, or None and why: ``error``, ``wrong``, ``slow`` or ``resting``."""
        began, computed = self._clock(), self._cpu()
        if began < self._rests_until_s:
            return None, "resting"
        try:
            made = call()
        except Exception as error:  # fail open: without this fact
            return None, self._failed("error", type(error).__name__)
        if not isinstance(made, promised):
            return None, self._failed("wrong", type(made).__name__)
        took = self._clock() - began
        if took > self._budget_s and (took > BLOCKED * self._budget_s or self._cpu() - computed > self._budget_s):
            return None, self._failed("slow", "slow")
        self._failures = 0
        return made, ""

    def quiet(self, call: Callable[[], object]) -> None:
        """Call something nobody waits for, such as learning; a failure is counted."""
        try:
            call()
        except Exception as error:  # what was not learned is lost, and no more
            self._telemetry.dependency_error(self._kind, type(error).__name__)
            log.debug("%s %r failed", self._kind, self.name, exc_info=True)

    def _failed(self, reason: str, error: str) -> str:
        self._telemetry.dependency_error(self._kind, error)
        self._failures += 1
        if self._failures == 1:
            log.warning("%s %r gave nothing: %s", self._kind, self.name, error)
        if self._failures >= TRIP_AFTER:
            self._failures = 0
            self._rests_until_s = self._clock() + REST_S
            log.warning("%s %r is left out for %.0f s: %d failures in a row", self._kind, self.name, REST_S, TRIP_AFTER)
        return reason
