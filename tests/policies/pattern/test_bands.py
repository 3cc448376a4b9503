"""What is learned of repeats and near-duplicates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forebay.policies.pattern.bands import EDGES, MEMORY, PRIORS, SAME_PRIOR, Bands


def taught(count: int, *, of: float | None, served: bool) -> Bands:
    bands = Bands()
    for _ in range(count):
        bands.learn(of, served=served)
    return bands


def test_before_anything_was_seen_the_prior_holds() -> None:
    bands = Bands()
    assert bands.same() == SAME_PRIOR
    assert [bands.similar(edge) for edge in EDGES] == pytest.approx(PRIORS)
    assert bands.similar(EDGES[0] - 0.01) == 0.0
    assert bands.similar(1.0) == pytest.approx(PRIORS[-1])
    assert bands.report() == []


def test_what_happened_takes_over() -> None:
    assert taught(200, of=0.95, served=True).similar(0.95) > 0.97
    assert taught(200, of=0.99, served=False).similar(0.99) < 0.05
    assert taught(200, of=None, served=False).same() < 0.05


def test_a_band_learns_for_itself() -> None:
    bands = taught(50, of=0.95, served=False)
    assert bands.similar(0.99) == pytest.approx(PRIORS[-1])
    assert bands.same() == SAME_PRIOR


def test_nothing_is_learned_of_pairs_that_are_far_apart() -> None:
    assert taught(50, of=0.3, served=True).snapshot() == Bands().snapshot()


def test_what_was_long_ago_is_forgotten() -> None:
    bands = taught(20_000, of=0.95, served=True)
    for _ in range(round(3 * MEMORY)):
        bands.learn(0.95, served=False)
    assert bands.similar(0.95) < 0.1


def test_the_report_shows_what_was_expected_before_each() -> None:
    bands = taught(8, of=0.99, served=True)
    (row,) = bands.report()
    assert (row["of"], row["n"], row["served"]) == (f"similar from {EDGES[-1]}", 8, 1.0)
    assert PRIORS[-1] < row["expected"] < bands.similar(0.99)


def test_the_state_survives_json() -> None:
    bands, other = taught(7, of=0.95, served=True), Bands()
    other.restore(json.loads(json.dumps(bands.snapshot())))
    assert other.similar(0.95) == bands.similar(0.95)
    assert other.report() == bands.report()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"edges": [0.5]},
        {"seen": [1.0]},
        {"seen": 3},
        {"seen": [float("nan")] * 10},
        {"served": [1.0] * 10},
        {"served": [-1.0] * 10},
        {"expected": [1.0] * 10},
    ],
)
def test_another_state_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    bands = taught(3, of=0.9, served=True)
    before = bands.snapshot()
    with pytest.raises((ValueError, KeyError, TypeError)):
        bands.restore({**Bands().snapshot(), **change})
    assert bands.snapshot() == before
