"""The ring of the last vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forebay.policies.pattern.vectors import APART, MAX_DIMENSION, Ring, group_of, nearest

ONE = group_of("scope", "")
OTHER = group_of("scope", "context")


def unit(angle: float) -> tuple[float, float]:
    return math.cos(angle), math.sin(angle)


def put(ring: Ring, angle: float, group: int = ONE) -> int:
    made = ring.unit(unit(angle))
    assert made is not None
    return ring.put(made, group)


def nearness(ring: Ring, angle: float, group: int = ONE) -> list[float]:
    made = ring.unit(unit(angle))
    assert made is not None
    return [round(float(value), 5) for value in ring.nearness(made, group)]


def test_only_those_of_the_group_are_compared() -> None:
    ring = Ring(3)
    put(ring, 0.0)
    put(ring, 0.0, OTHER)
    assert nearness(ring, 0.0) == [1.0, APART, APART]
    assert nearness(ring, math.pi / 2, OTHER) == [APART, 0.0, APART]


def test_the_oldest_makes_room() -> None:
    ring = Ring(2)
    assert [put(ring, angle) for angle in (0.0, 1.0, 2.0)] == [0, 1, 0]
    assert nearness(ring, 2.0)[0] == 1.0


def test_a_dropped_row_is_found_no_more() -> None:
    ring = Ring(2)
    ring.drop(put(ring, 0.0))
    assert nearness(ring, 0.0) == [APART, APART]


def test_a_row_can_be_named() -> None:
    ring = Ring(2)
    put(ring, 0.0)
    made = ring.unit(unit(1.0))
    assert made is not None
    assert ring.put(made, ONE, 0) == 0
    assert nearness(ring, 1.0) == [1.0, APART]


def test_vectors_of_another_length_start_it_anew() -> None:
    ring = Ring(2)
    put(ring, 0.0)
    longer = ring.unit((1.0, 0.0, 0.0))
    assert longer is not None
    assert set(ring.nearness(longer, ONE).tolist()) == {APART}
    ring.put(longer, ONE)
    assert nearness(ring, 0.0) == [APART, APART]
    assert ring.nearness(longer, ONE).tolist() == [APART, 1.0]


@pytest.mark.parametrize(
    "vector",
    [
        None,
        (),
        (0.0, 0.0),
        (2.0, 0.0),
        (math.nan, 1.0),
        (math.inf, 0.0),
        (1e300, 1e300),
        (1.0, *([0.0] * MAX_DIMENSION)),
    ],
)
def test_what_is_no_unit_vector_is_not_taken(vector: tuple[float, ...] | None) -> None:
    assert Ring(1).unit(vector) is None


@pytest.mark.parametrize("dimension", [1, 2, 3, 16, 31, 32, 33, 384])
def test_near_ones_are_those_that_a_full_comparison_finds(dimension: int) -> None:
    chance = np.random.default_rng(dimension)
    ring, groups = Ring(64), [int(group) for group in chance.integers(1, 3, 64)]
    common = chance.normal(size=dimension)
    for group in groups[1:]:
        vector = common + chance.uniform(0.1, 2.0) * chance.normal(size=dimension)
        made = ring.unit(tuple((vector / np.linalg.norm(vector)).tolist()))
        assert made is not None
        ring.put(made, group)
    made = ring.unit(tuple((common / np.linalg.norm(common)).tolist()))
    assert made is not None
    row = ring.put(made, groups[0])
    for least in (0.3, 0.6, 0.9):
        cosines = ring.nearness(made, groups[0])
        cosines[row] = APART
        assert ring.near(row, least) == np.flatnonzero(cosines >= least).tolist()


def test_the_nearest_is_of_the_group() -> None:
    ring = Ring(3)
    made = ring.unit(unit(0.0))
    assert made is not None
    assert ring.nearest(made, ONE) == (0, APART)
    put(ring, 0.0, OTHER)
    row = put(ring, math.pi / 3)
    assert (ring.nearest(made, ONE) or ()) == pytest.approx((row, 0.5))
    assert (ring.nearest(made, OTHER) or ()) == pytest.approx((0, 1.0))


def test_the_nearest_come_first_and_those_apart_never() -> None:
    cosines = np.array([0.1, APART, 0.9, 0.5, APART])
    assert nearest(cosines, 2) == [2, 3]
    assert nearest(cosines, 5) == [2, 3, 0]
    assert nearest(cosines, 9) == [2, 3, 0]
