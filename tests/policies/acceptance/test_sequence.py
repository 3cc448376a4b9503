"""Bets: what they prove, and that they never prove what is not so more often than they may."""

from __future__ import annotations

from math import exp, inf, log
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forebay.policies.acceptance.sequence import evidence_above, evidence_below, lower_bound, tempered, upper_bound

WEIGHTS = st.floats(0.0, 2000.0)
LIMITS = st.floats(0.001, 0.5)
PROOF = log(20)


def test_without_audits_there_is_no_evidence() -> None:
    assert evidence_below(0, 0, 0.02) == pytest.approx(0.0)
    assert evidence_above(0, 0, 0.02) == pytest.approx(0.0)
    assert upper_bound(0, 0, 0.05) == 1.0
    assert lower_bound(0, 0, 0.05) == 0.0


def test_a_flawless_record_of_about_two_hundred_proves_two_percent() -> None:
    proven = next(right for right in range(1000) if evidence_below(right, 0, 0.02) >= PROOF)
    assert 150 <= proven <= 230  # 149 would do for one look with a sample size fixed beforehand


def test_five_wrong_ones_show_that_it_is_more_than_two_percent() -> None:
    assert evidence_above(10, 5, 0.02) >= PROOF
    assert evidence_above(500, 5, 0.02) < PROOF


@pytest.mark.parametrize(("limit", "below", "above"), [(0.0, -inf, -inf), (1.0, inf, -inf)])
def test_the_ends_of_the_scale(limit: float, below: float, above: float) -> None:
    assert evidence_below(1000, 0, limit) == below
    assert evidence_above(1000, 0, limit) == above


@given(right=WEIGHTS, wrong=WEIGHTS, limit=LIMITS, more=st.floats(0.01, 10))
def test_evidence_moves_with_what_is_seen(right: float, wrong: float, limit: float, more: float) -> None:
    below, above = evidence_below(right, wrong, limit), evidence_above(right, wrong, limit)
    assert evidence_below(right + more, wrong, limit) > below
    assert evidence_below(right, wrong + more, limit) < below
    assert evidence_above(right + more, wrong, limit) < above
    assert evidence_above(right, wrong + more, limit) > above
    assert evidence_below(right, wrong, limit * 1.5) >= below
    assert evidence_above(right, wrong, limit * 1.5) <= above


@given(
    sums=st.tuples(WEIGHTS, st.floats(0, 50)),
    limit=LIMITS,
    rate=LIMITS,
    share=st.floats(0.01, 1),
    weight=st.floats(0.01, 1),
)
def test_no_rate_above_the_limit_is_worth_betting_against(
    sums: tuple[float, float], limit: float, rate: float, share: float, weight: float
) -> None:
    """The money expected after the next decision is no more than now: what Ville's inequality asks for."""
    right, wrong = sums
    rate = max(rate, limit)
    now = evidence_below(right, wrong, limit)
    assume(now < 500)
    expected = (
        (1 - share)
        + share * (1 - rate) * exp(evidence_below(right + weight, wrong, limit) - now)
        + share * rate * exp(evidence_below(right, wrong + weight, limit) - now)
    )
    assert expected <= 1 + 1e-9


@given(right=WEIGHTS, wrong=st.floats(0, 50), limit=LIMITS, weight=st.floats(0.01, 1), rate=st.floats(0, 0.5))
def test_no_rate_below_the_limit_is_worth_betting_for(
    right: float, wrong: float, limit: float, weight: float, rate: float
) -> None:
    rate = min(rate, limit)
    now = evidence_above(right, wrong, limit)
    assume(now < 500)
    right_one = (1 - rate) * exp(evidence_above(right + weight, wrong, limit) - now)
    wrong_one = rate * exp(evidence_above(right, wrong + weight, limit) - now)
    assert right_one + wrong_one <= 1 + 1e-9


@given(right=WEIGHTS, wrong=st.floats(0, 100), limit=LIMITS, most=st.floats(0.5, 12))
def test_forgetting_never_adds_evidence(right: float, wrong: float, limit: float, most: float) -> None:
    evidence = evidence_below(right, wrong, limit)
    kept = tempered(right, wrong, limit, most)
    after = evidence_below(*kept, limit)
    assert after <= max(evidence, 0.0) + 1e-9
    assert after <= most + 1e-9
    assert (kept == (right, wrong)) == (evidence <= most)


@given(right=WEIGHTS, wrong=WEIGHTS, alpha=st.sampled_from([0.01, 0.05]))
def test_bounds_enclose_what_was_seen(right: float, wrong: float, alpha: float) -> None:
    assume(right + wrong > 0)
    share = wrong / (right + wrong)
    assert lower_bound(right, wrong, alpha) <= share + 1e-9
    assert upper_bound(right, wrong, alpha) >= share - 1e-9
    upper = upper_bound(right, wrong, alpha)
    assert upper == 1.0 or evidence_below(right, wrong, upper) >= -log(alpha) - 1e-6


@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.25, 1.0)])
def test_a_rate_at_the_limit_is_seldom_proven_however_often_one_looks(shares: tuple[float, float]) -> None:
    """Half the decisions are wrong less often than allowed, half more often; these are audited more often, too."""
    limit, draws, streams = 0.1, Random(7), 200
    proven = 0
    for _ in range(streams):
        sums = [0.0, 0.0]
        for at in range(1500):
            share = shares[at % 2]
            wrong = draws.random() < (0.15, 0.05)[at % 2]
            if draws.random() < share:
                sums[wrong] += min(shares) / share
                if evidence_below(sums[0], sums[1], limit) >= PROOF:
                    proven += 1
                    break
    assert proven <= 0.05 * streams
