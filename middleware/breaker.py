"""A circuit breaker around one dependency: after failures in a row, stop asking it for a while."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from .deadline import within
from .errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from .telemetry import Telemetry

log = logging.getLogger(__name__)
T = TypeVar("T")


class State(StrEnum):
    """Closed lets calls through, open refuses them, half-open lets one through to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class OpenError(AdapterError):
    """The breaker is open: the dependency was not asked."""


class Breaker:
    """Guards calls to one dependency; logs only when its state changes.

    Args:
        name: of the dependency, a bounded label.
        trip_after: failures in a row that open it.
        rest_s: how long it stays open before one call is let through.

    A deadline that passes while the event loop itself is late says nothing about the dependency, so it is no failure,
    unless no call has succeeded for `rest_s`.
    """

    def __init__(
        self,
        name: str,
        telemetry: Telemetry,
        *,
        trip_after: int = 5,
        rest_s: float = 5.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self._telemetry = telemetry
        self._trip_after = trip_after
        self._rest_s = rest_s
        self._clock = clock
        self._failures = 0
        self._opened_s = 0.0
        self._worked_s = clock()

    async def call(self, make: Callable[[], Coroutine[Any, Any, T]], deadline_s: float) -> T:
        """Run a coroutine within a deadline.

        Args:
            make: called to make the coroutine, unless the breaker is open.

        Raises:
            OpenError: the breaker is open.
            TimeoutError: the deadline passed.
            AdapterError: the dependency cancelled its own work.
            Exception: whatever the coroutine raised. Each of these counts as a failure; a cancellation by the
                caller counts as one only after half the deadline, when the caller's own deadline may be the cause.
        """
        self._let_through()
        began = self._clock()
        deadline = within(deadline_s)
        try:
            async with deadline:
                result = await make()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            by_caller = task is not None and task.cancelling() > 0
            if not by_caller:
                self._failed(error)
                raise AdapterError(f"{self.name} cancelled its own work") from error
            if self._clock() - began < deadline_s / 2:
                self._learned_nothing()
            else:
                self._took_too_long(error, deadline)
            raise
        except TimeoutError as error:
            if deadline.expired:
                self._took_too_long(error, deadline)
            else:
                self._failed(error)
            raise
        except Exception as error:
            self._failed(error)
            raise
        self._succeeded()
        return result

    def _let_through(self) -> None:
        if self.state is State.CLOSED:
            return
        if self.state is State.HALF_OPEN or self._clock() - self._opened_s < self._rest_s:
            raise OpenError(f"{self.name} failed {self._trip_after} times in a row and is left alone for a while")
        self.state = State.HALF_OPEN

    def _took_too_long(self, error: BaseException, deadline: within) -> None:
        if deadline.loop_was_late and self._clock() - self._worked_s < self._rest_s:
            self._telemetry.dependency_error(self.name, "EventLoopLate")
            self._learned_nothing()
        else:
            self._failed(error)

    def _learned_nothing(self) -> None:
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN  # the next call probes again

    def _failed(self, error: BaseException) -> None:
        kind = type(error).__name__
        self._telemetry.dependency_error(self.name, kind)
        self._failures += 1
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
            self._opened_s = self._clock()
        elif self.state is State.CLOSED and self._failures >= self._trip_after:
            self.state = State.OPEN
            self._opened_s = self._clock()
            log.warning(
                "%s is failing (%s): left alone for %.0f s at a time, requests go on", self.name, kind, self._rest_s
            )

    def _succeeded(self) -> None:
        if self.state is not State.CLOSED:
            log.warning("%s works again", self.name)
        self.state = State.CLOSED
        self._failures = 0
        self._worked_s = self._clock()
