"""Requests as a simulated engine of a known law serves them, for the tests of what estimates that law."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from forebay.middleware.analysis.facts import Length, Outcome, RequestFacts, Subject
from forebay.middleware.analysis.protocols import Predictor
from forebay.middleware.records import Request
from forebay.policies.simulation.simulator import Job, simulate
from forebay.policies.work.law import Law, Shape
from forebay.policies.work.ledger import Stay

LAW = Law(0.012, 4e-5, 5e-5, 7e-8)
SHAPE = Shape(128)


def stays(count: int = 400, rate: float = 4.0, *, law: Law = LAW, shape: Shape = SHAPE, seed: int = 1) -> list[Stay]:
    """Return stays of random requests, in the order of arrival."""
    draw = random.Random(seed)
    at, jobs = 0.0, list[Job]()
    for _ in range(count):
        at += draw.expovariate(rate)
        jobs.append(Job(at, draw.randint(20, 1500), draw.randint(5, 400)))
    made = list[Stay]()
    for job, course in zip(jobs, simulate(jobs, law, shape), strict=True):
        assert course.first_s is not None
        assert course.ended_s is not None
        made.append(Stay(job.arrival_s, course.first_s, course.ended_s, job.prompt, job.output))
    return made


def serve(predictor: Predictor, served: list[Stay], *, lane: str = "one", model: str = "m") -> Iterator[Outcome]:
    """Predict each as it enters and learn each as it ends, with the true length as the predicted one; yield what was learned."""
    events = [(stay.entered_s, 1, at) for at, stay in enumerate(served)]
    events += [(stay.ended_s, 0, at) for at, stay in enumerate(served)]
    subjects = dict[int, Subject]()
    for now_s, entering, at in sorted(events):
        stay = served[at]
        if entering:
            facts = RequestFacts(stay.prompt, 1, "other", False, False, length=Length(stay.output, stay.output))
            subject = Subject(Request(f"{lane}-{at}", model, ()), facts, now_s=now_s)
            subjects[at] = replace(subject, facts=predictor.predict(subject))
        else:
            outcome = Outcome(
                subjects.pop(at),
                stay.prompt,
                stay.output,
                lane=lane,
                entered_s=stay.entered_s,
                first_token_s=stay.first_s,
                ended_s=stay.ended_s,
            )
            predictor.learn(outcome)
            yield outcome
