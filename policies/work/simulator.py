"""A discrete-event simulation of requests that come to one engine, with or without a gate in front.

For several engines behind one queue, a driver of its own advances several `Replica`s in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from .engine import ENDLESS, SECOND, Replica

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .law import Law, Shape


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


def simulate(jobs: Sequence[Job], law: Law, shape: Shape, gate: Gate | None = None) -> list[Course]:
    """Run jobs through one engine until nothing is left to do.

    Args:
        jobs: in the order of arrival.
        law, shape: of the engine; `max_num_seqs` must be known.
        gate: what stands in front, None to let everything in as it comes.

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

    def enter(job: int, at: int) -> None:
        courses[job].entered_s = at / SECOND
        replica.submit(job, jobs[job].prompt, jobs[job].output, jobs[job].prefix)

    def ask(at: int) -> None:
        while gate is not None and (job := gate.take(at / SECOND)) is not None:
            enter(job, at)

    coming = 0
    while coming < len(jobs) or not replica.idle:
        if replica.idle:
            replica.now = max(replica.now, arrivals[coming])
        while coming < len(jobs) and arrivals[coming] <= replica.now:
            if gate is None:
                enter(coming, arrivals[coming])
            else:
                gate.arrived(coming, jobs[coming].arrival_s)
                ask(arrivals[coming])
            coming += 1
        if replica.idle:
            continue
        first, ended = replica.advance(arrivals[coming] if coming < len(jobs) else ENDLESS)
        for job in replica.preempted:
            courses[job].preempted += 1
        _tell(courses, first, ended, replica.now / SECOND, gate)
        ask(replica.now)
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
