"""Replays requests against several engines behind several forebay processes: the queue and policies of production.

As a load balancer would, request i goes to process i mod M; each process sends its own to the engines in turn (the second
process begins with the second engine), and has a queue in front of each. So an engine's requests do not depend on how the others fare, and each is simulated by itself. A limit
that is a number of requests is divided among the processes; another holds in each process as it is, as in production without
something to agree through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ...middleware.admission.protocols import Divisible
from ...middleware.admission.queue import AdmissionQueue
from ...middleware.admission.tickets import NO_OBJECTIVE, Objective, Ticket
from ...middleware.analysis.facts import Priority
from ..work.lane import Lane
from .gate import QueueGate
from .simulator import Course, Job, Meter, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.admission.protocols import Limit, Ordering, Shedding
    from ..work.law import Law, Shape

Policies: TypeAlias = "tuple[Ordering, Limit, Shedding | None]"

NEVER = "never_let_in"
"""Why one was refused that still waited when nothing was left to happen."""


@dataclass(frozen=True, slots=True)
class Asked(Job):
    """A request to replay.

    Attributes:
        said, said_q90: output tokens as they were predicted, 0 where nothing was.
        deadline_s: after its arrival, when its caller gives up.
    """

    said: float = 0.0
    said_q90: float = 0.0
    tenant: str = ""
    priority: Priority = Priority.STANDARD
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Front:
    """What stands in front of the engines.

    Attributes:
        make: makes the policies of one queue.
        engines, processes: how many there are, at least 1.
        max_queue, timeout_s: of each queue, as the asyncio gate has them; None and infinite for no bound.
        objectives: by priority class.
    """

    make: Callable[[], Policies] | None = None
    engines: int = 1
    processes: int = 1
    max_queue: int | None = None
    timeout_s: float = math.inf
    objectives: Mapping[Priority, Objective] = field(default_factory=dict[Priority, Objective])


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the requests.

    Attributes:
        courses: one a request.
        refused: why each that was refused was, by its number.
        seconds: simulated, of the engine that took longest.
        running: sequences inside the engines, over their places; `kv_use`: blocks of the KV cache in use over all, None where it
            does not bind. Means over engines and time.
        starved_s: engines stood idle while a queue in front of them held somebody back.
        prefix_hit: share of prompt tokens that were found in the prefix cache.
    """

    courses: Sequence[Course]
    refused: Mapping[int, str]
    seconds: float
    running: float
    kv_use: float | None
    starved_s: float
    prefix_hit: float


def replay(asked: Sequence[Asked], law: Law, shape: Shape, front: Front) -> Replayed:
    """Run requests, in the order of arrival, until nothing is left to do.

    Raises:
        ValueError: as `simulate`.
    """
    courses: list[Course] = [Course(0.0, 1)] * len(asked)
    refused: dict[int, str] = {}
    meters: list[Meter] = []
    lane = _usual(asked, law, shape)
    for engine in range(front.engines):
        numbers = [
            at for at in range(len(asked)) if (at // front.processes + at % front.processes) % front.engines == engine
        ]
        mine = [asked[at] for at in numbers] if front.engines > 1 else asked
        if not mine:
            continue
        meters.append(Meter())
        if front.make is None:
            done = simulate(mine, law, shape, meter=meters[-1])
        else:
            gate = _Processes(front, [at % front.processes for at in numbers], mine, lane)
            done = simulate(mine, law, shape, gate, meter=meters[-1], waiting=gate.waiting)
            refused.update((numbers[at], reason) for at, reason in gate.refused())
            left = (at for at, one in enumerate(done) if one.entered_s is None)
            refused.update((numbers[at], NEVER) for at in left if numbers[at] not in refused)
        for at, course in zip(numbers, done, strict=True):
            courses[at] = course
    spans = math.fsum(meter.seconds for meter in meters) or 1.0
    blocks = None if shape.kv_tokens is None else shape.kv_tokens // shape.block
    return Replayed(
        courses,
        refused,
        seconds=max((meter.seconds for meter in meters), default=0.0),
        running=math.fsum(meter.running for meter in meters) / spans / (shape.max_num_seqs or 1),
        kv_use=None if blocks is None else math.fsum(meter.blocks for meter in meters) / spans / blocks,
        starved_s=math.fsum(meter.starved_s for meter in meters),
        prefix_hit=sum(meter.cached for meter in meters) / max(1, sum(one.prompt for one in asked)),
    )


class _Tickets:
    """Makes each request's ticket when it comes: how long it will take depends on how many are inside by then."""

    def __init__(self, asked: Sequence[Asked], lane: Lane, front: Front, inside: Callable[[], int]) -> None:
        self._asked = asked
        self._lane = lane
        self._front = front
        self._inside = inside

    def __getitem__(self, job: int, /) -> Ticket:
        one = self._asked[job]
        said = self._lane.estimate(one.prompt, self._inside())
        return Ticket(
            id=str(job),
            tenant=one.tenant,
            enqueued_s=one.arrival_s,
            input_tokens=one.prompt,
            output_tokens=one.said,
            output_tokens_q90=one.said_q90,
            seconds=said.seconds(one.said) if said is not None and one.said else None,
            first_s=said.ttft_s if said is not None and one.said else None,
            priority=one.priority,
            deadline_s=None if one.deadline_s is None else one.arrival_s + one.deadline_s,
            stream=True,
            objective=self._front.objectives.get(one.priority, NO_OBJECTIVE),
            prefix=one.prefix,
        )


class _Outputs:
    """The tokens that each request really makes."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked

    def __getitem__(self, job: int, /) -> int:
        return self._asked[job].output


class _Processes:
    """The queues that several processes have in front of one engine, as one gate.

    Args:
        of: the process of each request.
    """

    def __init__(self, front: Front, of: Sequence[int], asked: Sequence[Asked], lane: Lane) -> None:
        self._of = of
        outputs = _Outputs(asked)
        self._gates = [self._gate(front, rank, asked, outputs, lane) for rank in range(front.processes)]

    def arrived(self, job: int, now_s: float) -> None:
        """Note that a request has come."""
        self._gates[self._of[job]].arrived(job, now_s)

    def take(self, now_s: float) -> int | None:
        """Return the request that enters now, None where nobody may."""
        for gate in self._gates:
            if (job := gate.take(now_s)) is not None:
                return job
        return None

    def first_token(self, job: int, now_s: float) -> None:
        """Note a request's first token."""
        self._gates[self._of[job]].first_token(job, now_s)

    def ended(self, job: int, now_s: float) -> None:
        """Note a request's end."""
        self._gates[self._of[job]].ended(job, now_s)

    def waiting(self) -> int:
        """Return how many wait."""
        return sum(len(gate.queue) for gate in self._gates)

    def refused(self) -> list[tuple[int, str]]:
        """Return who was refused, and why."""
        return [item for gate in self._gates for item in gate.refused.items()]

    @staticmethod
    def _gate(front: Front, rank: int, asked: Sequence[Asked], outputs: _Outputs, lane: Lane) -> QueueGate:
        if front.make is None:
            raise ValueError("replay: without policies there is no queue")
        ordering, limit, shedding = front.make()
        queue = AdmissionQueue(ordering, limit, shedding, max_queue=front.max_queue)
        if front.processes > 1 and isinstance(limit, Divisible):
            places, rest = divmod(limit.places, front.processes)
            queue.bound = max(1, places + (rank < rest))
        tickets = _Tickets(asked, lane, front, lambda: queue.inside)
        return QueueGate(queue, tickets, outputs, timeout_s=front.timeout_s)


def _usual(asked: Sequence[Asked], law: Law, shape: Shape) -> Lane:
    """Return the lane as it is once it has learned the law, and what usually comes."""
    lane = Lane("", shape)
    usual = [sum(one.prompt for one in asked), sum(one.output for one in asked)]
    lane.restore(
        {
            "stays": len(asked),
            "law": list(law.coefficients),
            "usual": [*(total / max(len(asked), 1) for total in usual), 0.0],
            "errors": {"ttft": [], "tpot": [], "seconds": []},
        }
    )
    return lane
