"""Simulated engines for the tests of limits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from forebay.middleware.admission.queue import AdmissionQueue
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.simulation.gate import QueueGate
from forebay.policies.simulation.simulator import Job, simulate
from forebay.policies.work.law import Law, Shape

if TYPE_CHECKING:
    from forebay.middleware.admission.protocols import Limit
    from forebay.policies.simulation.simulator import Course

OBJECTIVE = Objective(ttft_s=2.0, tpot_s=0.05)
CROWDED = Law(0.012, 4e-5, 3e-4, 0.0)
"""At 128 a token takes about 60 ms, at 90 about 48."""
FAST = Law(0.012, 4e-5, 3e-5, 0.0)
"""At 128 a token takes about 20 ms."""
SLOW = Law(0.06, 4e-5, 1e-6, 0.0)
"""60 ms a token however few are inside."""


def run(
    limit: Limit, law: Law, *, rate: float, n: int = 600, seed: int = 1, places: int = 128, since_s: float = 0.0
) -> list[Course]:
    """Let requests of different lengths come at a rate, and return what became of them."""
    draw = random.Random(seed)
    now, jobs, tickets = since_s, list[Job](), list[Ticket]()
    for number in range(n):
        now += draw.expovariate(rate)
        prompt, output = draw.randint(50, 800), draw.randint(20, 300)
        jobs.append(Job(now, prompt, output))
        tickets.append(Ticket(str(number), "t", now, prompt, output, stream=True, objective=OBJECTIVE))
    gate = QueueGate(AdmissionQueue(FCFS(), limit), tickets, [job.output for job in jobs])
    return simulate(jobs, law, Shape(places), gate)
