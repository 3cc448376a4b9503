"""Traces, engines and figures of the `scheduling` benchmark: what comes, at which load, and what became of it."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from forebay.middleware.admission.queue import AdmissionQueue
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.policies.simulation.gate import QueueGate
from forebay.policies.simulation.simulator import Course, Job, simulate
from forebay.policies.work.law import Law, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forebay.middleware.admission.protocols import Limit, Ordering, Shedding

OBJECTIVE: Final = Objective(ttft_s=2.0, tpot_s=0.050)
TAU: Final = 0.44
"""Rank correlation of predicted with true lengths."""
_PAIRS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Profile:
    """An engine to simulate."""

    name: str
    law: Law
    shape: Shape


PRO6000: Final = Profile(
    "RTXPRO6000", Law(0.012203, 4.145e-5, 4.535e-5, 7.173e-8), Shape(max_num_seqs=128, kv_tokens=165_099)
)
RTX4090: Final = Profile(
    "RTX4090", Law(0.021083, 7.672e-5, 7.340e-5, 2.167e-8), Shape(max_num_seqs=256, kv_tokens=41_408)
)


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a trace: arrival in seconds since the first, tokens."""

    arrival_s: float
    prompt: int
    output: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What stands in front of the engine; each run gets a new one.

    Attributes:
        make: from the engine, an ordering, a limit and a shedding policy; None lets everything in as it comes.
    """

    name: str
    make: Callable[[Profile], tuple[Ordering, Limit, Shedding | None]] | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the requests of a run; a refused one is none of the good, and has no latency."""

    n: int
    goodput: float
    rejected: int
    mean_e2e_s: float
    p99_ttft_s: float
    max_ttft_s: float
    p99_tpot_s: float
    tokens_per_s: float
    seconds_per_token: float


def azure(path: Path) -> list[Row]:
    """Read an Azure trace."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    # seven fractional digits are one more than a datetime has
    times = [datetime.fromisoformat(line["TIMESTAMP"][:26]) for line in lines]
    return [
        Row((at - times[0]).total_seconds(), int(line["ContextTokens"]), int(line["GeneratedTokens"]))
        for at, line in zip(times, lines, strict=True)
    ]


def saturation(rows: Sequence[Row], profile: Profile) -> float:
    """Return requests a second that the engine serves when all come at once."""
    courses = simulate([Job(0.0, row.prompt, row.output) for row in rows], profile.law, profile.shape)
    return len(rows) / max(course.ended_s or 0.0 for course in courses)


def at_load(rows: Sequence[Row], rho: float, per_s: float) -> list[Row]:
    """Return the rows with time scaled so that they come at `rho` times the rate `per_s`."""
    first = rows[0].arrival_s
    scale = (len(rows) - 1) / (rho * per_s) / (rows[-1].arrival_s - first)
    return [Row((row.arrival_s - first) * scale, row.prompt, row.output) for row in rows]


def kendall(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Kendall's tau-b of two rankings, of at most 2,000 of each."""
    a, b = np.asarray(left[:_PAIRS], float), np.asarray(right[:_PAIRS], float)
    up, across = np.sign(a[:, None] - a[None, :]), np.sign(b[:, None] - b[None, :])
    return float((up * across).sum() / np.sqrt((up * up).sum() * (across * across).sum()))


@cache
def spread(outputs: tuple[int, ...], tau: float) -> float:
    """Return the sigma of the log-normal factor with which lengths are predicted at a rank correlation of `tau`."""
    draw = random.Random(0)
    factors = [draw.gauss(0.0, 1.0) for _ in outputs]
    low, high = 0.0, 8.0
    for _ in range(20):
        sigma = (low + high) / 2
        predicted = [output * np.exp(sigma * factor) for output, factor in zip(outputs, factors, strict=True)]
        low, high = (sigma, high) if kendall(outputs, predicted) > tau else (low, sigma)
    return (low + high) / 2


def tickets(rows: Sequence[Row], sigma: float, *, seed: int) -> list[Ticket]:
    """Return one a row, named by its number, with a predicted length that is off by a log-normal factor."""
    draw = random.Random(seed)
    made = list[Ticket]()
    for number, row in enumerate(rows):
        output = max(1.0, row.output * float(np.exp(draw.gauss(0.0, sigma))))
        made.append(
            Ticket(
                str(number),
                "t",
                row.arrival_s,
                row.prompt,
                output,
                output * float(np.exp(1.28 * sigma)),
                stream=True,
                objective=OBJECTIVE,
            )
        )
    return made


def play(rows: Sequence[Row], profile: Profile, policy: Policy, sigma: float, *, seed: int) -> Figures:
    """Simulate requests behind a policy."""
    jobs = [Job(row.arrival_s, row.prompt, row.output) for row in rows]
    if policy.make is None:
        return figures(simulate(jobs, profile.law, profile.shape))
    queue = AdmissionQueue(*policy.make(profile))
    gate = QueueGate(queue, tickets(rows, sigma, seed=seed), [row.output for row in rows])
    return figures(simulate(jobs, profile.law, profile.shape, gate))


def figures(courses: Sequence[Course]) -> Figures:
    """Return the figures of a run."""
    served = [course for course in courses if course.ended_s is not None]
    ttft = [course.ttft_s or 0.0 for course in served]
    tpot = [course.tpot_s for course in served if course.tpot_s is not None]
    e2e = [course.e2e_s or 0.0 for course in served]
    good = sum(OBJECTIVE.met(ttft_s=one.ttft_s, tpot_s=one.tpot_s, total_s=one.e2e_s or 0.0) for one in served)
    ended = max(course.ended_s or 0.0 for course in served)
    return Figures(
        n=len(courses),
        goodput=good / len(courses),
        rejected=len(courses) - len(served),
        mean_e2e_s=float(np.mean(e2e)),
        p99_ttft_s=float(np.percentile(ttft, 99)),
        max_ttft_s=max(ttft),
        p99_tpot_s=float(np.percentile(tpot, 99)) if tpot else 0.0,
        tokens_per_s=sum(course.output for course in served) / (ended - courses[0].arrival_s),
        seconds_per_token=float(np.mean([time / course.output for time, course in zip(e2e, served, strict=True)])),
    )
