from __future__ import annotations

import math
import random
from statistics import NormalDist, fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import Subject
from forebay.policies.length.features import MAX_DIMENSION, NAMES, features_of
from forebay.policies.length.history import Margin, Records, Shift, beyond
from forebay.policies.length.regression import HashedRidge, Ridge
from forebay.policies.length.state import pack, pack_symmetric, unpack, unpack_symmetric
from tests.contract.predictor import SUBJECTS, SUPPRESSED, subject


def lexical(question: str) -> dict[str, float]:
    return dict(zip(NAMES, features_of(subject(0, question=question)).lexical, strict=True))


@pytest.mark.parametrize(
    ("feature", "question", "other"),
    [
        ("asked", "Write 500 words on tea.", "Write 5 words on tea."),
        ("asked", "Write a 2000-word text on tea.", "Write about tea."),
        ("long", "An essay, please.", "An apple, please."),
        ("list", "Ideas for lunch", "Plans for lunch"),
        ("brief", "Say it briefly.", "Say it."),
        ("edit", "Translate this.", "Follow this."),
        ("explain", "Explain it.", "Take it."),
        ("closed", "Is it red?", "Red it is"),
        ("questions", "What? Why?", "What."),
        ("lines", "one\ntwo\nthree", "one two three"),
        ("digits", "1 2 3 4", "a b c d"),
        ("signs", "( { [ ; ] } )", "a b c d"),
        ("words", "a b c d e f g h i j", "a b"),
        ("word_length", "incomprehensibilities", "a b c d e f g h i j k"),
    ],
)
def test_a_feature_sees_what_it_is_for(feature: str, question: str, other: str) -> None:
    assert lexical(question)[feature] > lexical(other)[feature]


@settings(suppress_health_check=SUPPRESSED, deadline=None, max_examples=50)
@given(SUBJECTS)
def test_features_are_small_numbers_whatever_is_asked(asked: Subject) -> None:
    found = features_of(asked)
    assert len(found.lexical) == len(NAMES)
    assert np.all(np.abs(found.lexical) < 20)
    assert float(found.signs @ found.signs) == pytest.approx(1.0 if len(found.words) else 0.0)
    if found.vector is not None:
        assert np.all(np.isfinite(found.vector))
        assert len(found.vector) <= MAX_DIMENSION + 1


def test_long_vectors_are_folded() -> None:
    found = features_of(subject(0, vector=[0.1] * 1000)).vector
    assert found is not None
    assert len(found) == MAX_DIMENSION + 1


def test_recursive_least_squares_is_ridge_regression() -> None:
    chance = np.random.default_rng(2)
    x, y = chance.normal(size=(60, 5)), chance.normal(size=60)
    ridge = Ridge(np.zeros(5), 2.0)
    for row, value in zip(x, y, strict=True):
        ridge.learn(row, value)
    exact = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ y)
    assert ridge.weights == pytest.approx(exact, abs=1e-3)
    assert np.array_equal(ridge.covariance, ridge.covariance.T)


def test_a_covariance_stays_one_for_long() -> None:
    chance = np.random.default_rng(3)
    ridge = Ridge(np.zeros(8), 10.0)
    for _ in range(20_000):
        x = chance.normal(size=8)
        ridge.learn(x, float(x[0]))
    assert np.linalg.eigvalsh(ridge.covariance).min() > 0
    assert ridge.weights == pytest.approx([1.0] + [0.0] * 7, abs=1e-2)
    for _ in range(3_000):  # what it says changes
        x = chance.normal(size=8)
        ridge.learn(x, float(-x[0]))
    assert ridge.weights[0] < -0.8


@pytest.mark.parametrize("block", [1, 2, 5])
def test_observations_learned_together_leave_what_one_by_one_does(block: int) -> None:
    chance = np.random.default_rng(6)
    xs, truth = chance.normal(size=(60, 12)), chance.normal(size=12)
    values = [float(x @ truth + chance.normal()) for x in xs]
    together, single = Ridge(np.zeros(12), 3.0), Ridge(np.zeros(12), 3.0)
    for start in range(0, 60, block):
        together.learn_all(list(zip(xs[start : start + block], values[start : start + block], strict=True)))
    for x, value in zip(xs, values, strict=True):
        single.learn(x, value)
    assert together.weights == pytest.approx(single.weights, abs=1e-4)
    assert together.covariance == pytest.approx(single.covariance, abs=1e-5)
    assert np.array_equal(together.covariance, together.covariance.T)


def test_hashed_weights_are_learned_by_themselves() -> None:
    hashed, chance = HashedRidge(64, 1.0), random.Random(4)
    for _ in range(500):
        at = np.array(sorted(chance.sample(range(64), 4)))
        hashed.learn(at, np.full(4, 0.5), 1.0 if 7 in at else 0.0)
    others = np.array([1, 2, 3, 7])
    assert hashed.predict(others, np.full(4, 0.5)) > 2 * hashed.predict(np.array([1, 2, 3, 8]), np.full(4, 0.5))


@pytest.mark.parametrize("least", [-3.0, 0.0, 1.0, 2.5])
def test_the_mean_beyond_a_bound(least: float) -> None:
    draws = [value for at in range(1, 20_000) if (value := NormalDist().inv_cdf(at / 20_000)) > least]
    assert beyond(least) == pytest.approx((fmean(draws), fmean(each**2 for each in draws) ** 0.5), abs=0.03)


@given(st.floats(-50, 50))
def test_the_mean_beyond_a_bound_lies_beyond_it(least: float) -> None:
    mean, size = beyond(least)
    assert mean > least or math.isclose(mean, least, abs_tol=1e-9)
    assert size >= abs(mean) - 1e-6


@pytest.mark.parametrize("power", [1, 3])
def test_a_margin_covers_whatever_the_distribution(power: int) -> None:
    margin, chance = Margin(), random.Random(5)
    above = 0
    for at in range(4_000):
        rest = chance.gauss(0, 1) ** power
        above += at >= 1_000 and rest > margin.upper
        margin.learn(rest, 1.0, None)
    assert above / 3_000 == pytest.approx(0.1, abs=0.02)


def test_records_forget_the_one_not_used_for_longest() -> None:
    records = Records(lambda: Shift(10), 2)
    records.take("a").learn(1.0, 1.0)
    records.take("b")
    records.take("a")
    records.take("c")
    assert records.find("b") is None
    kept = records.find("a")
    assert kept is not None
    assert kept.mean == 1.0
    assert records.find("a", "") is None


def test_numbers_survive_packing() -> None:
    values = np.array([0.5, -2.0, 1e-3])
    assert unpack(pack(values), 3) == pytest.approx(values)
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]], np.float32)
    assert np.array_equal(unpack_symmetric(pack_symmetric(matrix), 2), matrix)


@pytest.mark.parametrize(
    "matrix",
    [[[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]], [[math.nan, 0.0], [0.0, 1.0]], [[1e9, 0.0], [0.0, 1.0]]],
)
def test_what_cannot_be_a_covariance_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"covariance|finite"):
        unpack_symmetric(pack_symmetric(np.array(matrix, np.float32)), 2)
