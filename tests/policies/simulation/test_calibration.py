from __future__ import annotations

import random

import pytest

from forebay.policies.simulation.calibration import calibrate, check, halves, jobs_of, online
from forebay.policies.simulation.simplex import minimise
from forebay.policies.simulation.simulator import Job, simulate
from forebay.policies.work.law import Law, Shape
from forebay.policies.work.ledger import Stay

LAW = Law(0.012, 4e-5, 5e-5, 7e-8)


def run(shape: Shape, count: int, rate: float) -> list[Stay]:
    draw = random.Random(3)
    at, jobs = 0.0, list[Job]()
    for _ in range(count):
        at += draw.expovariate(rate)
        jobs.append(Job(at, draw.randint(20, 900), draw.randint(5, 120)))
    return [
        Stay(job.arrival_s, course.first_s, course.ended_s or 0.0, job.prompt, job.output)
        for job, course in zip(jobs, simulate(jobs, LAW, shape), strict=True)
    ]


def test_the_simplex_finds_a_minimum() -> None:
    x, y = minimise(lambda point: (point[0] - 3) ** 2 + (point[1] + 1) ** 2, [0.0, 0.0], 0.5)
    assert x == pytest.approx(3, abs=1e-3)
    assert y == pytest.approx(-1, abs=1e-3)


def test_one_half_tells_the_other() -> None:
    shape = Shape(8)
    found = halves(run(shape, 60, 20.0), shape)
    assert len(found) == 2
    for _, fitted, told in found:
        assert fitted.shape == shape
        assert [one.metric for one in told] == ["ttft", "tpot", "e2e"]
        for one in told:
            assert one.said_s == pytest.approx(one.was_s, rel=0.03)
            assert len(one.errors) == 30


def test_blocks_that_are_shared_without_anybody_saying_so_are_found() -> None:
    stays = run(Shape(24, 16 * 420, prefix_cache=True), 50, 20.0)
    said = Shape(24, 16 * 400, prefix_cache=True)
    assert sum(course.preempted for course in simulate(jobs_of(stays), LAW, said)) > 0
    fitted = calibrate(stays, said)
    assert fitted.shape.kv_tokens is not None
    assert 16 * 400 < fitted.shape.kv_tokens <= 16 * 426
    told = check(stays, simulate(jobs_of(stays), fitted.law, fitted.shape), range(len(stays)))
    assert all(one.said_s == pytest.approx(one.was_s, rel=0.03) for one in told)


def test_only_the_chosen_are_looked_at() -> None:
    shape = Shape(4)
    stays = run(shape, 30, 4.0)
    wrong = [Stay(one.entered_s, one.first_s, one.ended_s + 50.0, one.prompt, one.output) for one in stays[15:]]
    assert calibrate(stays, shape, range(15)) == calibrate([*stays[:15], *wrong], shape, range(15))


def test_the_online_law_of_a_run() -> None:
    law = online(run(Shape(24), 300, 12.0))
    assert law is not None
    assert law.seconds(0, 16, 6000) == pytest.approx(LAW.seconds(0, 16, 6000), rel=0.05)
    assert online([]) is None
