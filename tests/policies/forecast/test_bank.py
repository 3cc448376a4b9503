from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.policies.forecast.bank import MEMBERS
from forebay.policies.forecast.regression import Regression
from forebay.policies.forecast.series import Series
from forebay.policies.forecast.weights import believed_weights, improve


def poisson(mean: float, draw: random.Random) -> int:
    """Knuth's way; means are small here."""
    count, left = 0, draw.random()
    while left > math.exp(-mean):
        count, left = count + 1, left * draw.random()
    return count


def steady(draw: random.Random) -> list[float]:
    return [poisson(5.0, draw) for _ in range(600)]


def wandering(draw: random.Random) -> list[float]:
    level = 1000.0
    return [level := max(0.0, level + draw.gauss(0.0, 60.0)) for _ in range(600)]


def stepping(draw: random.Random) -> list[float]:
    return [1e5 * (1 + at // 100 % 3) for at in range(600)]


def beating(draw: random.Random) -> list[float]:
    return [12.0 if at % 3 == 0 else poisson(1.0, draw) for at in range(600)]


def bursting(draw: random.Random) -> list[float]:
    return [poisson(30.0, draw) if at % 40 < 4 else 0.0 for at in range(600)]


def rare(draw: random.Random) -> list[float]:
    return [1000.0 if draw.random() < 0.01 else 0.0 for _ in range(600)]


def replay(counts: Sequence[float], without: Sequence[str] = ()) -> tuple[float, float]:
    """Return the error over naive's, and the share of windows in the interval."""
    series = Series(10.0, without)
    square = naive = inside = 0.0
    for at, count in enumerate(counts):
        if at:
            middle, low, high = series.expect()
            assert 0.0 <= low <= middle <= high < math.inf
            square += (middle - count) ** 2
            naive += (counts[at - 1] - count) ** 2
            inside += low <= count <= high
        series.close(count)
    return math.sqrt(square / naive), inside / (len(counts) - 1)


@pytest.mark.parametrize(
    ("kind", "most"),
    [(steady, 0.76), (wandering, 1.02), (stepping, 1.02), (beating, 0.35), (bursting, 1.02), (rare, 0.9)],
)
def test_never_worse_than_naive_and_better_where_it_can_be(
    kind: Callable[[random.Random], list[float]], most: float
) -> None:
    error, inside = replay(kind(random.Random(7)))
    assert error <= most
    assert inside >= 0.75


@pytest.mark.parametrize("kind", [steady, wandering])
def test_four_in_five_lie_in_the_interval(kind: Callable[[random.Random], list[float]]) -> None:
    _, inside = replay(kind(random.Random(3)))
    assert inside == pytest.approx(0.8, abs=0.06)


def test_what_beats_is_foretold_by_the_regression() -> None:
    counts = beating(random.Random(7))
    assert replay(counts)[0] < 0.6 * replay(counts, ["ar"])[0]


def test_a_burst_that_is_still_going_on_is_seen_within_the_window() -> None:
    # each burst has 30 requests; where it began late in a window, as many follow in the next
    counts_and_times: list[list[float]] = []
    draw = random.Random(1)
    for _ in range(200):
        late = draw.random() < 0.5
        counts_and_times += [[9.5] * 30 if late else [0.5] * 30, [0.5] * 30 if late else [], [], []]
    errors: dict[bool, float] = {}
    for timed in (True, False):
        series = Series(10.0)
        square = 0.0
        for offsets in counts_and_times:
            square += (series.expect()[0] - len(offsets)) ** 2
            series.close(len(offsets), offsets if timed else None)
        errors[timed] = square
    assert errors[True] < 0.8 * errors[False]


def test_the_first_window_is_all_that_is_known() -> None:
    series = Series(1.0)
    assert series.expect() == (0.0, 0.0, 0.0)
    series.close(8.0, [0.1] * 8)
    middle, low, high = series.expect()
    assert middle == pytest.approx(8.0, rel=0.02)
    assert low < 8.0 - 2.0
    assert high > 8.0 + 2.0
    assert series.members()["naive"] == 8.0
    assert series.best() in MEMBERS


def test_a_member_can_be_left_out() -> None:
    assert [*Series(1.0, ["ar", "decay 5"]).members()] == ["naive", "decay 0.3", "decay 2", "decay 20"]


@settings(max_examples=60)
@given(st.lists(st.floats(0.0, 1e9) | st.integers(0, 20), max_size=80))
def test_any_counts_can_be_forecast(counts: Sequence[float]) -> None:
    series = Series(1.0)
    for count in counts:
        series.close(float(count))
        middle, low, high = series.expect()
        assert 0.0 <= low <= middle <= high < math.inf
        assert middle <= 2.0 * max(counts) + 1e-6


def test_level_does_not_matter() -> None:
    counts = wandering(random.Random(5))
    small, large = replay(counts), replay([1000.0 * count for count in counts])
    assert small[0] == pytest.approx(large[0], abs=0.01)


def test_before_any_evidence_naive_is_followed() -> None:
    weights = believed_weights(len(MEMBERS))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.9


def test_weights_come_to_the_least_error() -> None:
    products = np.array([[[4.0, 0.0], [0.0, 1.0]]])
    weights = np.array([[1.0, 0.0]])
    for _ in range(5):
        weights = improve(products, weights)
    assert weights[0].tolist() == pytest.approx([0.2, 0.8])


def test_a_covariance_that_rounding_spoilt_begins_anew() -> None:
    line = Regression(1, 2)
    line.state["inverse"][0] = [[-5.0, 0.0], [0.0, 1.0]]
    line.learn(np.array([[3.0, 1.0]]), np.array([2.0]), np.ones(1))
    assert np.linalg.eigvalsh(line.state["inverse"]).min() > 0
    assert np.isfinite(line.state["slopes"]).all()
