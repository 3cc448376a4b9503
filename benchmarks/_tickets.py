"""Requests of several tenants and classes for the ordering benchmarks, and what became of each of these groups.

Predicted lengths are true ones times a log-normal factor; its spread is found by bisection so that the rank correlation is the
one asked for (`_scheduling.spread`).
"""

from __future__ import annotations

import csv
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from _scheduling import OBJECTIVE, TAU, spread

from forebay.middleware.admission.queue import AdmissionQueue
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.policies.simulation.gate import QueueGate
from forebay.policies.simulation.simulator import Course, Job, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from _scheduling import Profile

    from forebay.middleware.admission.protocols import Limit, Ordering, Shedding

Parts = tuple["Ordering", "Limit", "Shedding | None"]
_Z90: Final = 1.2816


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to simulate.

    Attributes:
        group: whose figures it counts for.
        prefix: names of its prompt's blocks.
    """

    arrival_s: float
    prompt: int
    output: int
    tenant: str = "t"
    group: str = "all"
    priority: Priority = Priority.STANDARD
    objective: Objective = OBJECTIVE
    prefix: tuple[int, ...] = ()


def arena(path: Path) -> list[Ask]:
    """Read the 27 tenants of the arena trace."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Ask(
                float(line["req_time"]),
                int(line["prompt_len"]),
                int(line["output_len"]),
                line["adapter_dir"].rpartition("-")[2],
            )
            for line in csv.DictReader(file)
        ]


def tickets(asks: Sequence[Ask], *, seed: int, tau: float = TAU) -> list[Ticket]:
    """Return one a request, named by its number."""
    sigma = spread(tuple(ask.output for ask in asks), tau)
    draw = random.Random(seed)
    made = list[Ticket]()
    for number, ask in enumerate(asks):
        output = max(1.0, ask.output * math.exp(draw.gauss(0.0, sigma)))
        made.append(
            Ticket(
                str(number),
                ask.tenant,
                ask.arrival_s,
                ask.prompt,
                output,
                output * math.exp(_Z90 * sigma),
                priority=ask.priority,
                stream=True,
                objective=ask.objective,
                prefix=ask.prefix,
            )
        )
    return made


def played(
    asks: Sequence[Ask], profile: Profile, make: Callable[[], Parts] | None, *, seed: int, tau: float = TAU
) -> list[Course]:
    """Simulate requests behind an ordering, a limit and a shedding policy, or before the engine itself where `make` is None."""
    jobs = [Job(ask.arrival_s, ask.prompt, ask.output, ask.prefix) for ask in asks]
    if make is None:
        return simulate(jobs, profile.law, profile.shape)
    gate = QueueGate(AdmissionQueue(*make()), tickets(asks, seed=seed, tau=tau), [ask.output for ask in asks])
    return simulate(jobs, profile.law, profile.shape, gate)


def by_group(asks: Sequence[Ask], courses: Sequence[Course]) -> dict[str, dict[str, Any]]:
    """Return the figures of each group, and of all together; a refused request is none of the good and has no latency."""
    groups: dict[str, list[int]] = {"all": list(range(len(asks)))}
    for at, ask in enumerate(asks):
        if ask.group != "all":
            groups.setdefault(ask.group, []).append(at)
    return {name: _figures(asks, courses, chosen) for name, chosen in groups.items()}


def _figures(asks: Sequence[Ask], courses: Sequence[Course], chosen: Sequence[int]) -> dict[str, Any]:
    served = [at for at in chosen if courses[at].ended_s is not None]
    ttft = [courses[at].ttft_s or 0.0 for at in served]
    e2e = [courses[at].e2e_s or 0.0 for at in served]
    tpot = [value for at in served if (value := courses[at].tpot_s) is not None]
    good = sum(
        asks[at].objective.met(ttft_s=courses[at].ttft_s, tpot_s=courses[at].tpot_s, total_s=courses[at].e2e_s or 0.0)
        for at in served
    )
    ended = max(courses[at].ended_s or 0.0 for at in served)
    return {
        "n": len(chosen),
        "goodput": round(good / len(chosen), 4),
        "rejected": len(chosen) - len(served),
        "mean_e2e_s": round(float(np.mean(e2e)), 3),
        "p50_ttft_s": round(float(np.percentile(ttft, 50)), 3),
        "p99_ttft_s": round(float(np.percentile(ttft, 99)), 3),
        "max_ttft_s": round(max(ttft), 3),
        "p99_tpot_s": round(float(np.percentile(tpot, 99)), 4) if tpot else None,
        "tokens_per_s": round(sum(asks[at].output for at in served) / (ended - asks[0].arrival_s), 1),
        "seconds_per_token": round(
            float(np.mean([time / asks[at].output for time, at in zip(e2e, served, strict=True)])), 4
        ),
    }
