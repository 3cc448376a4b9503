from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.lab.metrics import auc, best_cut, clopper_pearson, reliability, tpr_at

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    assert auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == pytest.approx(0.875)
    assert auc([0.5, 0.4], [True, True]) is None


@given(SCORED)
def test_auc_by_its_definition(scored: list[tuple[float, bool]]) -> None:
    scores, same = [score for score, _ in scored], [label for _, label in scored]
    right = [score for score, label in scored if label]
    wrong = [score for score, label in scored if not label]
    if not right or not wrong:
        assert auc(scores, same) is None
        return
    order = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    assert auc(scores, same) == pytest.approx(order / (len(right) * len(wrong)))


def test_the_hit_rate_at_a_false_hit_rate_does_not_split_ties() -> None:
    scores, same = [0.9, 0.8, 0.8, 0.1], [True, True, False, False]
    assert tpr_at(scores, same, 0.0) == 0.5
    assert tpr_at(scores, same, 0.5) == 1.0
    assert tpr_at([0.5], [False], 0.1) is None


def test_the_best_cut_decides_most_pairs_rightly() -> None:
    assert best_cut([0.9, 0.8, 0.7, 0.6], [True, False, True, True]) == 0.6
    assert best_cut([0.9, 0.8, 0.7], [True, False, False]) == 0.9


def test_reliability_compares_what_was_said_with_what_was() -> None:
    low, high = reliability([0.15, 0.1, 1.0], [False, True, True])
    assert low.confidence == pytest.approx(0.125)
    assert (low.share, low.count) == (0.5, 2)
    assert (high.confidence, high.share, high.count) == (1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("events", "trials", "low", "high"),
    # published values
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 50, 0.0333, 0.2181), (0, 1600, 0.0, 0.0023), (0, 0, 0.0, 1.0)],
)
def test_the_exact_interval(events: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(events, trials) == pytest.approx((low, high), abs=1e-4)
