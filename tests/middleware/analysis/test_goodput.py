from __future__ import annotations

from forebay.middleware.admission.tickets import Objective
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.analysis.goodput import LEAST, MOST, WINDOW_S, Goodput


def test_an_objective_is_met_by_all_that_was_measured() -> None:
    objective = Objective(ttft_s=1.0, tpot_s=0.1)
    assert objective.met(ttft_s=1.0, tpot_s=0.1, total_s=99.0)
    assert not objective.met(ttft_s=1.1, tpot_s=0.05, total_s=1.2)
    assert not objective.met(ttft_s=0.1, tpot_s=0.2, total_s=1.2)
    assert objective.met(ttft_s=None, tpot_s=None, total_s=500.0)
    assert not Objective(total_s=5.0).met(ttft_s=None, tpot_s=None, total_s=6.0)


def test_the_share_is_of_the_last_minute_and_a_refusal_counts() -> None:
    goodput = Goodput({Priority.INTERACTIVE: Objective(ttft_s=1.0)})
    assert goodput.share(0.0) is None
    for _ in range(LEAST):
        assert goodput.ended(Priority.INTERACTIVE, 0.0, ttft_s=0.5, tpot_s=None, total_s=3.0)
    assert goodput.share(1.0) == 1.0
    for _ in range(LEAST):
        assert not goodput.ended(Priority.INTERACTIVE, 10.0, ttft_s=5.0, tpot_s=None, total_s=9.0)
    assert goodput.share(10.0) == 0.5
    for _ in range(2 * LEAST):
        goodput.refused(11.0)
    assert goodput.share(11.0) == 0.25
    assert goodput.share(1.0 + WINDOW_S) == 0.0
    assert goodput.share(100.0 + WINDOW_S) is None


def test_a_class_without_an_objective_meets_it() -> None:
    assert Goodput({}).ended(Priority.BACKGROUND, 0.0, ttft_s=1e9, tpot_s=1e9, total_s=1e9)


def test_it_is_bounded() -> None:
    goodput = Goodput({})
    for _ in range(MOST):
        goodput.refused(0.0)
    for _ in range(MOST):
        goodput.ended(Priority.STANDARD, 0.0, ttft_s=None, tpot_s=None, total_s=1.0)
    assert goodput.share(0.0) == 1.0
