from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.policies.work.fit import ENOUGH, LawFit
from forebay.policies.work.law import Law, Shape
from forebay.policies.work.ledger import CAPACITY, Ledger, Rows, Stay
from tests.policies.work.courses import LAW, stays


def fitted(served: list[Stay], until_s: float = math.inf) -> Law:
    ledger, fit = Ledger(), LawFit()
    for stay in sorted(served, key=lambda one: one.ended_s):
        ledger.add(stay)
    while (rows := ledger.work_out(until_s)) is not None:
        fit.add(rows)
    fit.refit()
    assert fit.law is not None
    return fit.law


def iteration(law: Law, decodes: int) -> float:
    return law.seconds(100, decodes, decodes * 900)


@pytest.mark.parametrize("rate", [0.05, 1.0, 4.0, 8.0])
def test_an_engines_law_is_found_from_outside(rate: float) -> None:
    law = fitted(stays(rate=rate))
    usual = max(1, round(rate * 4))
    assert iteration(law, usual) == pytest.approx(iteration(LAW, usual), rel=0.03)
    assert law.step_s == pytest.approx(LAW.step_s, rel=0.05)
    assert law.prefill_s == pytest.approx(LAW.prefill_s, rel=0.2)


def test_answers_seen_only_whole_are_enough() -> None:
    law = fitted([replace(stay, first_s=None) for stay in stays(rate=1.0)])
    assert iteration(law, 4) == pytest.approx(iteration(LAW, 4), rel=0.1)


def test_a_few_wrong_clocks_do_little() -> None:
    served = stays(rate=2.0)
    for at in range(0, len(served), 12):
        served[at] = replace(served[at], ended_s=served[at].ended_s + 30)
    assert iteration(fitted(served), 8) == pytest.approx(iteration(LAW, 8), rel=0.1)


def test_preempted_ones_do_not_spoil_it() -> None:
    served = stays(300, 6.0, shape=Shape(64, 24_000))
    assert iteration(fitted(served), 24) == pytest.approx(iteration(LAW, 24), rel=0.1)


def test_it_follows_an_engine_that_changes() -> None:
    ledger, fit = Ledger(), LawFit()
    for law, start in ((LAW, 0.0), (Law(0.024, 8e-5, 1e-4, 1.4e-7), 10_000.0)):
        for one in sorted(stays(600, 2.0, law=law), key=lambda one: one.ended_s):
            assert one.first_s is not None
            ledger.add(Stay(one.entered_s + start, one.first_s + start, one.ended_s + start, one.prompt, one.output))
            rows = ledger.work_out(one.entered_s + start)
            if rows is not None:
                fit.add(rows)
                fit.refit()
    assert fit.law is not None
    assert iteration(fit.law, 10) == pytest.approx(2 * iteration(LAW, 10), rel=0.1)


def test_a_busy_time_does_not_make_it_forget_quiet_ones() -> None:
    ledger, fit = Ledger(), LawFit()
    for rate, start in ((0.5, 0.0), (14.0, 10_000.0)):
        for one in sorted(stays(200 if rate < 1 else 1500, rate), key=lambda one: one.ended_s):
            assert one.first_s is not None
            ledger.add(Stay(one.entered_s + start, one.first_s + start, one.ended_s + start, one.prompt, one.output))
            rows = ledger.work_out(one.entered_s + start)
            if rows is not None:
                fit.add(rows)
                fit.refit()
    assert fit.law is not None
    assert iteration(fit.law, 2) == pytest.approx(iteration(LAW, 2), rel=0.05)


def test_prompts_cost_is_found_where_nothing_overlaps() -> None:
    law = fitted(stays(rate=0.002))
    assert law.prefill_s == pytest.approx(LAW.prefill_s, rel=0.15)


def test_a_row_waits_for_those_that_were_inside_at_the_same_time() -> None:
    ledger = Ledger()
    ledger.add(Stay(0.0, 0.1, 5.0, 100, 200))
    assert ledger.work_out(4.9) is None
    assert ledger.work_out(5.0) is not None
    assert ledger.work_out(5.0) is None


def test_the_sums_are_those_of_the_iterations() -> None:
    # each iteration takes 0.1 s; the second decodes beside the first from the 11th token on
    ledger = Ledger()
    ledger.add(Stay(0.9, 1.0, 5.0, 100, 41))
    ledger.add(Stay(1.9, 2.0, 4.0, 300, 21))
    rows = ledger.work_out(9.0)
    assert rows is not None
    assert rows.seconds[:2] == pytest.approx([4.0, 2.0])
    assert rows.terms[0, :3] == pytest.approx([40, 300, 60])
    assert rows.terms[1, :3] == pytest.approx([20, 0, 40])
    own, other = sum(range(101, 141)), sum(range(301, 321))
    assert rows.terms[0, 3] == pytest.approx(own + other, rel=0.01)


def test_nothing_is_said_before_enough_was_seen() -> None:
    fit = LawFit()
    fit.add(Rows(np.ones((ENOUGH - 1, 4)), np.ones(ENOUGH - 1), np.ones(ENOUGH - 1)))
    fit.refit()
    assert fit.law is None


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1e9)] * 4, st.floats(1e-9, 1e9)), min_size=ENOUGH, max_size=40))
def test_whatever_the_rows_the_law_is_one(values: list[tuple[float, ...]]) -> None:
    table = np.array(values)
    table[:, 0] += 1
    fit = LawFit()
    fit.add(Rows(table[:, :4], table[:, 4], np.ones(len(table))))
    fit.refit()
    assert fit.law is None or all(0 <= value < math.inf for value in fit.law.coefficients)


def test_memory_is_bounded() -> None:
    ledger = Ledger()
    for at in range(CAPACITY + 500):
        ledger.add(Stay(float(at), at + 0.1, at + 2.0, 10, 50))
    worked = 0
    while (rows := ledger.work_out(math.inf)) is not None:
        worked += len(rows.seconds)
    assert 0 < worked <= 2 * CAPACITY


@pytest.mark.parametrize(
    "stay",
    [
        (1.0, 0.5, 2.0, 1, 1),
        (1.0, 3.0, 2.0, 1, 1),
        (1.0, None, 1.0, 1, 1),
        (0.0, None, 1e6, 1, 1),
        (float("nan"), None, 1.0, 1, 1),
        (0.0, None, 1.0, 0, 1),
        (0.0, None, 1.0, 1, 2**40),
    ],
)
def test_a_stay_that_cannot_be_is_refused(stay: tuple[float, float | None, float, int, int]) -> None:
    with pytest.raises(ValueError, match="stay"):
        Stay(*stay)
