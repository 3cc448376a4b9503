"""A discrete-event simulation of requests that come to one engine, with or without a gate in front.

For several engines, each with its own share of the requests, see `replay`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from .engine import ENDLESS, SECOND, Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..work.law import Law, Shape


@dataclass(frozen=True, slots=True)
class Job:
    """A request to simulate. Output tokens are those it will make; at least 1 of each.

    Attributes:
        prefix: names of the prompt's first full blocks, each of all that lies before its end: prompts that begin alike have
            the first of them alike. A prefix cache computes those once; empty where nothing is known.

    Raises:
        ValueError: a number of tokens is below 1.
    """

    arrival_s: float
    prompt: int
    output: int
    prefix: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.prompt < 1 or self.output < 1:
            raise ValueError("job: prompt and output have at least one token")


@dataclass(slots=True)
class Course:
    """What became of a job; times in seconds, None where it never came to that.

    Attributes:
        arrival_s, entered_s, first_s, ended_s: it came, the gate let it in, first and last token.
        output: its tokens.
        preempted: how often it lost its KV cache.
    """

    arrival_s: float
    output: int
    entered_s: float | None = None
    first_s: float | None = None
    ended_s: float | None = None
    preempted: int = 0

    @property
    def ttft_s(self) -> float | None:
        """From arrival to the first token."""
        return None if self.first_s is None else self.first_s - self.arrival_s

    @property
    def tpot_s(self) -> float | None:
        """Time of each token after the first; None where there is none."""
        if self.first_s is None or self.ended_s is None or self.output < 2:  # noqa: PLR2004
            return None
        return (self.ended_s - self.first_s) / (self.output - 1)

    @property
    def e2e_s(self) -> float | None:
        """From arrival to the last token."""
        return None if self.ended_s is None else self.ended_s - self.arrival_s


class Gate(Protocol):
    """What stands in front of the engine: decides who enters and when. Jobs are numbers, in the order given.

    A gate is asked after each thing it is told, with the time of that thing; time alone does not wake it.
    """

    def arrived(self, job: int, now_s: float) -> None:
        """Note that a job has come."""
        ...

    def take(self, now_s: float) -> int | None:
        """Return the job that enters now, None where nobody may. Asked again until it says None. One never taken is refused."""
        ...

    def first_token(self, job: int, now_s: float) -> None:
        """Note a job's first token."""
        ...

    def ended(self, job: int, now_s: float) -> None:
        """Note a job's end."""
        ...


@dataclass(slots=True)
class Meter:
    """How well the engine was used: integrals over simulated time, in seconds times what they are of.

    Attributes:
        seconds: simulated.
        running: sequences that the engine had admitted; `blocks`: of the KV cache in use.
        cached: tokens of prompts that were found in the prefix cache when they were first read; not an integral.
        starved_s: the engine stood idle while the gate held somebody back. Should be 0.
    """

    seconds: float = 0.0
    running: float = 0.0
    blocks: float = 0.0
    cached: int = 0
    starved_s: float = 0.0


def simulate(
    jobs: Sequence[Job],
    law: Law,
    shape: Shape,
    gate: Gate | None = None,
    *,
    meter: Meter | None = None,
    waiting: Callable[[], int] = int,
) -> list[Course]:
    """Run jobs through one engine until nothing is left to do.

    Args:
        jobs: in the order of arrival.
        law, shape: of the engine; `max_num_seqs` must be known.
        gate: what stands in front, None to let everything in as it comes.
        meter: is filled; for that, `waiting` says how many the gate holds back.

    Returns:
        One course a job. A job that the gate never took has only an arrival.

    Raises:
        ValueError: arrivals go back, or a job can never fit into the KV cache.
    """
    replica = Replica(law, shape)
    courses = [Course(job.arrival_s, job.output) for job in jobs]
    arrivals = [round(job.arrival_s * SECOND) for job in jobs]
    if any(late < early for early, late in pairwise(arrivals)):
        raise ValueError("simulator: jobs are not in the order of arrival")
    arrivals.append(ENDLESS)

    def enter(job: int, at: int) -> None:
        courses[job].entered_s = at / SECOND
        replica.submit(job, jobs[job].prompt, jobs[job].output, jobs[job].prefix)

    def ask(at: int) -> None:
        while gate is not None and (job := gate.take(at / SECOND)) is not None:
            enter(job, at)

    coming = 0

    def arrive(until: int) -> None:
        nonlocal coming
        while arrivals[coming] < until:
            if gate is None:
                enter(coming, arrivals[coming])
            else:
                gate.arrived(coming, jobs[coming].arrival_s)
                ask(arrivals[coming])
            coming += 1

    began = replica.now = arrivals[0] if jobs else 0
    while coming < len(jobs) or not replica.idle:
        if replica.idle:
            if meter is not None and arrivals[coming] > replica.now and waiting():
                meter.starved_s += (arrivals[coming] - replica.now) / SECOND
            replica.now = max(replica.now, arrivals[coming])
        if arrivals[coming] <= replica.now:
            arrive(replica.now + 1)
            if replica.idle:
                continue
        since, blocks, running = replica.now, replica.blocks, replica.running
        first, ended = replica.advance(arrivals[coming])
        if arrivals[coming] < replica.now:
            arrive(replica.now)  # they came before what the iteration made was there
        if meter is not None:
            span_s = (replica.now - since) / SECOND / 2
            meter.running += span_s * (running + replica.running)
            meter.blocks += span_s * (blocks + replica.blocks)
        for job in replica.preempted:
            courses[job].preempted += 1
        if first or ended:
            _tell(courses, first, ended, replica.now / SECOND, gate)
        if gate is not None:
            ask(replica.now)
    if meter is not None:
        meter.seconds += (replica.now - began) / SECOND
        meter.cached += replica.cached
    return courses


def _tell(courses: list[Course], first: list[int], ended: list[int], now_s: float, gate: Gate | None) -> None:
    for job in first:
        courses[job].first_s = now_s
        if gate is not None:
            gate.first_token(job, now_s)
    for job in ended:
        courses[job].ended_s = now_s
        if gate is not None:
            gate.ended(job, now_s)
