from __future__ import annotations

import random
from collections import Counter

import pytest

from forebay.middleware.admission.queue import AdmissionQueue
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.none import NoLimit
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.simulation.gate import QueueGate
from forebay.policies.simulation.replay import NEVER, Asked, Front, Policies, replay
from forebay.policies.simulation.simulator import Job, Meter, simulate
from forebay.policies.work.law import Law, Shape

LAW = Law(0.012, 4e-5, 5e-5, 7e-8)
SHAPE = Shape(8, 4096, prefix_cache=True)


def asked(count: int, rate: float, seed: int = 1) -> list[Asked]:
    draw = random.Random(seed)
    at, made = 0.0, list[Asked]()
    for number in range(count):
        at += draw.expovariate(rate)
        output = draw.randint(1, 60)
        made.append(Asked(at, draw.randint(1, 300), output, said=output, said_q90=output, tenant=f"t{number % 3}"))
    return made


def fixed(places: int) -> Policies:
    return FCFS(), FixedLimit(max_inflight=places), None


class Recording(FCFS):
    """First come, first served, and keeps what came."""

    def __init__(self, seen: list[Ticket]) -> None:
        super().__init__()
        self.seen = seen

    def push(self, ticket: Ticket) -> None:
        """Add a ticket at the end."""
        self.seen.append(ticket)
        super().push(ticket)


def test_without_a_limit_the_queue_changes_nothing() -> None:
    jobs = asked(200, 8.0)
    alone = replay(jobs, LAW, SHAPE, Front())
    queued = replay(jobs, LAW, SHAPE, Front(lambda: (FCFS(), NoLimit(), None)))
    assert alone == queued
    assert not queued.refused
    assert queued.starved_s == 0


def test_a_limit_holds() -> None:
    jobs = asked(150, 20.0)
    courses = replay(jobs, LAW, SHAPE, Front(lambda: fixed(3))).courses
    inside = [
        sum((one.entered_s or 0.0) <= (course.entered_s or 0.0) < (one.ended_s or 0.0) for one in courses)
        for course in courses
    ]
    assert max(inside) == 3


def test_engines_and_processes() -> None:
    jobs = asked(240, 40.0)
    front = Front(lambda: fixed(8), engines=3, processes=2)
    played = replay(jobs, LAW, SHAPE, front)
    assert len(played.courses) == 240
    assert all(course.ended_s is not None for course in played.courses)
    assert [course.arrival_s for course in played.courses] == [job.arrival_s for job in jobs]
    # three engines get through three times as much
    alone = replay(jobs, LAW, SHAPE, Front(lambda: fixed(8)))
    assert played.seconds < 0.6 * alone.seconds
    # each process has half of the 8 places of each engine
    for process in range(2):
        for engine in range(3):
            mine = [at for at in range(240) if at % 2 == process and (at // 2 + process) % 3 == engine]
            assert len(mine) == 40
            events = sorted(
                event
                for at in mine
                for course in (played.courses[at],)
                for event in ((course.entered_s or 0.0, 1), (course.ended_s or 0.0, -1))
            )
            now, most = 0, 0
            for _, change in events:
                now += change
                most = max(most, now)
            assert most <= 4


def test_what_tickets_say() -> None:
    seen: list[Ticket] = []
    jobs = [
        Asked(0.0, 50, 20, (1, 2, 3), 18.0, 40.0, "a", Priority.BATCH, 5.0),
        Asked(0.1, 50, 20, (1, 2), 18.0, 40.0, "a", Priority.BATCH, 5.0),
        Asked(0.2, 60, 20),
    ]
    goal = Objective(2.0, 0.05)
    replay(
        jobs,
        LAW,
        SHAPE,
        Front(lambda: (Recording(seen), FixedLimit(max_inflight=1), None), objectives={Priority.BATCH: goal}),
    )
    batch, unsaid = seen
    assert (batch.tenant, batch.priority, batch.objective, batch.prefix) == ("a", Priority.BATCH, goal, (1, 2))
    assert (batch.enqueued_s, batch.deadline_s, batch.output_tokens, batch.output_tokens_q90) == (0.1, 5.1, 18, 40)
    assert batch.first_s is not None
    assert batch.seconds is not None
    assert 0 < batch.first_s < batch.seconds
    assert (unsaid.seconds, unsaid.output_tokens, unsaid.deadline_s) == (None, 0, None)


def test_the_queues_bounds() -> None:
    jobs = [Asked(0.01 * at, 100, 50) for at in range(20)]
    short = replay(jobs, LAW, SHAPE, Front(lambda: fixed(1), max_queue=4))
    assert Counter(short.refused.values())["queue_full"] >= 10
    patient = replay(jobs, LAW, SHAPE, Front(lambda: fixed(1), timeout_s=2.0))
    assert set(patient.refused.values()) == {"queue_timeout"}
    for played in (short, patient):
        assert {at for at, course in enumerate(played.courses) if course.entered_s is None} == played.refused.keys()
    waits = [(course.entered_s or 0.0) - course.arrival_s for course in patient.courses if course.entered_s is not None]
    assert max(waits) <= 2.0


class Closed:
    """Lets nobody in."""

    def admits(self, ticket: Ticket, load: object) -> bool:
        """Return False."""
        assert ticket
        assert load
        return False


def test_a_limit_that_never_opens_is_seen() -> None:
    jobs = [Asked(0.0, 10, 10), Asked(3.0, 10, 10)]
    played = replay(jobs, LAW, SHAPE, Front(lambda: (FCFS(), Closed(), None)))
    assert played.refused == {0: NEVER, 1: NEVER}
    assert played.starved_s == pytest.approx(3.0)


class Sleepy:
    """Lets nobody in before a moment."""

    def admits(self, ticket: Ticket, load: object) -> bool:
        """Return whether the moment has come."""
        assert ticket
        return getattr(load, "now_s", 0.0) >= 5.0


def test_idle_time_with_work_waiting_is_what_the_queue_itself_measures() -> None:
    jobs = [Job(0.0, 10, 10), Job(2.0, 10, 10), Job(6.0, 10, 10)]
    tickets = [Ticket(str(at), "t", job.arrival_s, job.prompt, job.output) for at, job in enumerate(jobs)]
    queue = AdmissionQueue(FCFS(), Sleepy())
    gate, meter = QueueGate(queue, tickets, [job.output for job in jobs]), Meter()
    courses = simulate(jobs, LAW, SHAPE, gate, meter=meter, waiting=lambda: len(queue))
    assert all(course.ended_s is not None for course in courses)
    assert meter.starved_s == pytest.approx(6.0)
    assert queue.usage.starved_s == pytest.approx(meter.starved_s)
    assert meter.seconds == pytest.approx(max(course.ended_s or 0.0 for course in courses))


def test_shared_prompts_are_found_in_the_cache() -> None:
    names = tuple(range(6))
    jobs = [Asked(0.0, 100, 5, names), Asked(3.0, 100, 5, names)]
    assert replay(jobs, LAW, SHAPE, Front()).prefix_hit == pytest.approx(96 / 200)
    assert replay(jobs, LAW, Shape(8, 4096), Front()).prefix_hit == 0
