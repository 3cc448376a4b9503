from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.policies.simulation.engine import SECOND, Replica
from forebay.policies.simulation.simulator import Course, Job, simulate
from forebay.policies.work.law import Law, Shape
from tests.policies.simulation.stepwise import run

LAW = Law(0.012, 4e-5, 5e-5, 7e-8)
LAWS = st.builds(Law, st.floats(1e-4, 0.1), st.floats(0, 1e-3), st.floats(0, 1e-3), st.floats(0, 1e-6))
SHAPES = st.builds(
    Shape,
    max_num_seqs=st.integers(1, 6),
    kv_tokens=st.none() | st.integers(200, 600),
    budget=st.sampled_from([6, 17, 64, 2048]),
    block=st.sampled_from([1, 7, 16]),
    prefix_cache=st.booleans(),
    scheduled_ahead=st.booleans(),
)


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    gaps = draw(st.lists(st.sampled_from([0.0, 0.013, 0.4]) | st.floats(0, 2), min_size=1, max_size=12))
    tokens = st.integers(1, 90)
    # three beginnings, and how many blocks of the prompt are of it: the rest has names of its own, or none
    alike = st.tuples(st.integers(1, 3), st.integers(0, 12), st.sampled_from([0, 2]))
    made = list[Job]()
    for number, at in enumerate(accumulate(gaps)):
        start, shared, own = draw(alike)
        names = [100 * start + block for block in range(shared)]
        names += [1000 + 10 * number + block for block in range(own)]
        made.append(Job(at, draw(tokens), draw(tokens), tuple(names)))
    return made


def times(courses: Sequence[Course]) -> list[tuple[float | None, float | None, int]]:
    return [(one.first_s, one.ended_s, one.preempted) for one in courses]


@settings(deadline=None)
@given(jobs=jobs(), law=LAWS, shape=SHAPES)
def test_jumping_is_the_same_as_going_step_by_step(jobs: list[Job], law: Law, shape: Shape) -> None:
    trace = run(jobs, law, shape)
    assert times(simulate(jobs, law, shape)) == [
        (trace.first[at] / SECOND, trace.ended[at] / SECOND, trace.preempted.get(at, 0)) for at in range(len(jobs))
    ]


@settings(deadline=None)
@given(jobs=jobs(), law=LAWS, shape=SHAPES)
def test_limits_hold_and_no_token_is_lost(jobs: list[Job], law: Law, shape: Shape) -> None:
    replica = Replica(law, shape)
    for at, job in enumerate(jobs):
        replica.submit(at, job.prompt, job.output, job.prefix)
    first, ended, before = list[int](), list[int](), 0
    while not replica.idle:
        begun, done = replica.advance()
        first += begun
        ended += done
        assert replica.now > before
        before = replica.now
        assert replica.running <= (shape.max_num_seqs or 0)
        assert shape.kv_tokens is None or 0 <= replica.blocks * shape.block <= shape.kv_tokens
        assert replica.running + replica.waiting + len(ended) == len(jobs)
    assert sorted(first) == sorted(ended) == list(range(len(jobs)))
    assert replica.blocks == 0


@settings(deadline=None)
@given(jobs=jobs(), law=LAWS, shape=SHAPES)
def test_times_follow_each_other(jobs: list[Job], law: Law, shape: Shape) -> None:
    courses = simulate(jobs, law, shape)
    for course, job in zip(courses, jobs, strict=True):
        assert course.entered_s == pytest.approx(job.arrival_s)
        assert course.first_s is not None
        assert course.ended_s is not None
        assert course.entered_s is not None
        assert course.entered_s < course.first_s <= course.ended_s
    if shape.kv_tokens is None:
        firsts = [course.first_s for course in courses]
        assert all(one is not None and other is not None and one <= other for one, other in pairwise(firsts))


@settings(deadline=None)
@given(prompt=st.integers(1, 9000), output=st.integers(1, 400), law=LAWS)
def test_one_request_alone_takes_what_the_formula_says(prompt: int, output: int, law: Law) -> None:
    (course,) = simulate([Job(1.5, prompt, output)], law, Shape(8, None))
    chunks = -(-prompt // 2048)
    steps = output - 1
    ttft = chunks * law.step_s + law.prefill_s * prompt
    decode = steps * (law.step_s + law.decode_s + law.kv_s * (prompt + (steps + 1) / 2))
    assert course.ttft_s == pytest.approx(ttft, rel=1e-6, abs=1e-9)
    assert course.e2e_s == pytest.approx(ttft + decode, rel=1e-6, abs=1e-9)
    assert course.tpot_s == (None if output == 1 else pytest.approx(decode / steps, rel=1e-6, abs=1e-9))


def test_a_kept_prefix_makes_a_preempted_one_cheaper() -> None:
    many = [Job(0.01 * at, 100, 60) for at in range(12)]
    without, kept = (simulate(many, Law(0.01, 1e-3), Shape(8, 800, prefix_cache=cached)) for cached in (False, True))
    assert sum(one.preempted for one in without) > 0
    assert max(one.ended_s or 0 for one in kept) < max(one.ended_s or 0 for one in without)


def test_prompts_that_begin_alike_are_read_once_and_kept_once() -> None:
    names = tuple(range(1, 7))
    alike, unlike = [Job(0, 100, 60, names), Job(0, 100, 60, names)], [Job(0, 100, 60), Job(0, 100, 60)]
    law = Law(0.01, 1e-3)

    def took(jobs: list[Job], *, cached: bool = True, tokens: int | None = None) -> float:
        courses = simulate(jobs, law, Shape(8, tokens, prefix_cache=cached))
        return max(one.ended_s or 0 for one in courses)

    whole = 0.01 * 60 + 1e-3 * 200
    assert took(unlike) == pytest.approx(whole)
    assert took(alike, cached=False) == pytest.approx(whole)
    assert took(alike) == pytest.approx(whole - 1e-3 * 96)
    # 160 tokens are 10 blocks each, 6 of them in common: 14 are enough for both
    assert took(alike, tokens=14 * 16) == pytest.approx(whole - 1e-3 * 96)
    assert took(unlike, tokens=14 * 16) > 1.5 * whole
    # one after the other: what the first left is still there for the second
    late = [Job(0, 100, 60, names), Job(5, 100, 60, names)]
    assert took(late) == pytest.approx(5 + 0.01 * 60 + 1e-3 * 4)


@settings(deadline=None)
@given(
    chains=st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=8),
    shape=SHAPES,
)
def test_names_that_are_no_chains_lose_no_block(chains: list[list[int]], shape: Shape) -> None:
    replica = Replica(LAW, shape)
    for at, names in enumerate(chains):
        replica.submit(at, 60, 20, names)
    ended = list[int]()
    while not replica.idle:
        ended += replica.advance()[1]
        assert shape.kv_tokens is None or 0 <= replica.blocks * shape.block <= shape.kv_tokens
    assert sorted(ended) == list(range(len(chains)))
    assert replica.blocks == 0


class OneAtATime:
    """Lets the newest in, one at a time, and refuses every fifth."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.inside: set[int] = set()
        self.told: list[tuple[str, int, float]] = []

    def arrived(self, job: int, now_s: float) -> None:
        self.told.append(("arrived", job, now_s))
        if job % 5:
            self.waiting.append(job)

    def take(self, now_s: float) -> int | None:
        if self.inside or not self.waiting:
            return None
        job = self.waiting.pop()
        self.inside.add(job)
        return job

    def first_token(self, job: int, now_s: float) -> None:
        self.told.append(("first", job, now_s))

    def ended(self, job: int, now_s: float) -> None:
        self.told.append(("ended", job, now_s))
        self.inside.remove(job)


def test_a_gate_decides_who_enters_and_is_told_what_happens() -> None:
    gate = OneAtATime()
    courses = simulate([Job(0.1 * at, 50, 40) for at in range(20)], LAW, Shape(8), gate)
    assert [at for at, one in enumerate(courses) if one.entered_s is None] == [0, 5, 10, 15]
    assert all((one.ended_s is None) == (one.entered_s is None) for one in courses)
    served = sorted((one.entered_s, one.ended_s) for one in courses if one.entered_s is not None)
    assert all((ended or 0) <= entered for (_, ended), (entered, _) in pairwise(served))
    assert [now_s for _, _, now_s in gate.told] == sorted(now_s for _, _, now_s in gate.told)
    assert len(gate.told) == 20 + 2 * 16
    alone = [one for one in courses if one.ended_s is not None]
    assert {round((one.ended_s or 0) - (one.entered_s or 0), 9) for one in alone} == {
        0.4841411
    }  # 0.014 of prefill, 39 iterations of 0.0120549 on average


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        ([Job(1, 1, 1), Job(0, 1, 1)], Shape(4)),
        ([Job(0, 100, 100)], Shape(4, 150)),
        ([Job(0, 1, 1)], Shape()),
    ],
)
def test_what_cannot_be_simulated_is_refused(wrong: list[Job], shape: Shape) -> None:
    with pytest.raises(ValueError, match="simulator"):
        simulate(wrong, LAW, shape)


def test_values_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: Job(0, 0, 1),
        lambda: Law(-1.0),
        lambda: Law(float("nan")),
        lambda: Shape(0),
        lambda: Shape(4096),
    ):
        with pytest.raises(ValueError):
            make()


def test_late_in_a_long_trace_it_is_as_at_the_beginning() -> None:
    rows = [Job(0.7 * at, 300, 40 + 13 * at % 70) for at in range(30)]
    late = [Job(100_000 + job.arrival_s, job.prompt, job.output) for job in rows]
    for early, other in zip(simulate(rows, LAW, Shape(4)), simulate(late, LAW, Shape(4)), strict=True):
        assert other.ttft_s == pytest.approx(early.ttft_s, abs=1e-6)
        assert other.e2e_s == pytest.approx(early.e2e_s, abs=1e-6)
