"""One gate for each engine or deployment, made when it is first asked for.

Requests to one deployment do not wait for another's. A host without deployments uses the lane "".
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import semconv
from ..coordination import Roster
from .gate import Gate
from .protocols import Divisible
from .shared_gate import SharedGate
from .tickets import Load, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocols import Coordination
    from .protocols import Limit, Ordering, Shedding

log = logging.getLogger(__name__)
MOST: Final = 256
"""Lanes kept; an idle one makes room for a new one. Where all are busy, the new ones share `OTHERS`."""
OTHERS: Final = "(others)"
SAY_AFTER_S: Final = 2.0
"""How long the number of workers must stand before it is logged: several start at the same time."""
_NOBODY: Final = Ticket("", "", 0.0)


class Policies(NamedTuple):
    """What decides in one lane."""

    ordering: Ordering
    limit: Limit
    shedding: Shedding | None = None


class Lanes:
    """The gates of one process. Belongs to one event loop.

    Args:
        make: makes the policies of a lane.
        max_queue: waiting requests beyond which new ones are refused, in each lane.
        coordination: through which several workers share a limit, or learn how to divide it.
        name: makes a lane's name for other workers.
    """

    def __init__(
        self,
        make: Callable[[], Policies],
        *,
        max_queue: int,
        coordination: Coordination | None = None,
        name: Callable[[str], str] = str,
        most: int = MOST,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._make = make
        self._max_queue = max_queue
        self._coordination = coordination
        self._name = name
        self._most = most
        self._clock = clock
        self._gates: dict[str, Gate] = {}
        self._said = ""
        self._saying: asyncio.TimerHandle | None = None
        self._gates[""] = self._gate("")

    def __len__(self) -> int:
        return len(self._gates)

    @property
    def load(self) -> Load:
        """What is inside and what waits, in all lanes together."""
        loads = [gate.load for gate in self._gates.values()]
        if len(loads) == 1:
            return loads[0]
        return Load(
            inflight=sum(load.inflight for load in loads),
            queued=sum(load.queued for load in loads),
            inflight_tokens=sum(load.inflight_tokens for load in loads),
            reserved_tokens=sum(load.reserved_tokens for load in loads),
            now_s=self._clock(),
        )

    @property
    def places(self) -> int | None:
        """How many requests the limit lets into each lane, None where it is not such a number."""
        return self._gates[""].places

    def readings(self) -> list[tuple[str, str, float]]:
        """Return how full each lane's engine is and how well it was used, as (metric, lane, value)."""
        found: list[tuple[str, str, float]] = []
        for lane, gate in list(self._gates.items()):
            load, usage = gate.load, gate.usage
            if usage.last_s is None:
                continue  # nobody ever came
            values = (
                (semconv.METRIC_QUEUED, load.queued),
                (semconv.METRIC_INSIDE, load.inflight),
                (semconv.METRIC_RESERVED, load.reserved_tokens),
                (semconv.METRIC_PLACES, gate.places),
                (semconv.METRIC_BUSY_SECONDS, usage.busy_s),
                (semconv.METRIC_STARVED_SECONDS, usage.starved_s),
            )
            found.extend((name, lane, float(value)) for name, value in values if value is not None)
        return found

    def of(self, lane: str) -> Gate:
        """Return a lane's gate, made now where there is none."""
        gate = self._gates.get(lane)
        if gate is None:
            while len(self._gates) >= self._most and self._drop_idle():
                pass
            if len(self._gates) >= self._most:
                lane = OTHERS
            gate = self._gates.get(lane)
            if gate is None:
                gate = self._gates[lane] = self._gate(lane)
        return gate

    def has_room(self, lane: str, ticket: Ticket = _NOBODY) -> bool:
        """Return whether a ticket that came now would be let in or could wait. Makes no lane."""
        gate = self._gates.get(lane)
        return gate is None or gate.has_room(ticket)

    def would_wait(self, ticket: Ticket) -> bool:
        """Return whether somebody waits in any lane, or would in the lane ""."""
        return any(gate.load.queued for gate in self._gates.values()) or self._gates[""].would_wait(ticket)

    def changed(self, roster: Roster) -> None:
        """Other workers came or went, or what they agree through did."""
        for gate in self._gates.values():
            _fit(gate, roster)
        if self._saying is not None:
            self._saying.cancel()
        self._saying = asyncio.get_running_loop().call_later(SAY_AFTER_S, self._say, roster)

    def close(self) -> None:
        """Say nothing more."""
        if self._saying is not None:
            self._saying.cancel()

    def _gate(self, lane: str) -> Gate:
        policies = self._make()
        coordination, limit = self._coordination, policies.limit
        roster = coordination.roster() if coordination is not None else Roster()
        if coordination is not None and roster.shareable and isinstance(limit, Divisible):
            return SharedGate(
                self._name(lane),
                limit.places,
                coordination,
                *policies,
                max_queue=self._max_queue,
                clock=self._clock,
            )
        gate = Gate(*policies, max_queue=self._max_queue, clock=self._clock)
        _fit(gate, roster)
        return gate

    def _drop_idle(self) -> bool:
        for lane, gate in self._gates.items():
            if lane and gate.idle:
                del self._gates[lane]
                return True
        return False

    def _say(self, roster: Roster) -> None:
        """Log how the limit holds now, where that is another way than before."""
        places, workers = self.places, len(roster.workers)
        if places is None or (workers < 2 and not self._said):  # noqa: PLR2004  (one worker has all of it)
            return
        if roster.shared:
            text = f"{workers} workers share a limit of {places}"
        elif workers < 2:  # noqa: PLR2004
            text = f"this worker is alone and has the whole limit of {places}"
        else:
            text = f"{workers} workers divide a limit of {places}: this one lets {roster.part_of(places)} in"
        if text != self._said:
            self._said = text
            log.warning("%s", text)


def _fit(gate: Gate, roster: Roster) -> None:
    if isinstance(gate, SharedGate):
        gate.resume(roster)
    elif gate.places is not None:
        gate.set_bound(roster.part_of(gate.places) if len(roster.workers) > 1 else None)
