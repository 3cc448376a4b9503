"""The learned rate against all ages kept and every rate tried, and what must hold whatever was seen."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.policies.expiry.rate import BINS, PRIOR, ChangeRate, changes_within

DAY_S = 86_400.0
GUESS = 1.0 / DAY_S
AGES = st.floats(1.0, 1e8)
SEEN = st.lists(st.tuples(AGES, st.booleans()), max_size=40)
FEW = settings(max_examples=60, deadline=None)
Seen = list[tuple[float, bool]]


def learned(seen: Seen, **settings: Any) -> ChangeRate:
    rate = ChangeRate(GUESS, 1e-12, 1.0, **settings)
    for age_s, changed in seen:
        rate.add(age_s, changed=changed)
    return rate


def searched(seen: Seen, noise: float = 0.0, memory: float = 500.0) -> float:
    """Return the rate of the largest posterior density on a grid; every age is kept as it was."""
    rates = np.geomspace(1e-12, 1.0, 200_001)
    density = PRIOR * (1 - 1 / memory) ** len(seen) * (np.log(rates) - rates / GUESS)
    for ago, (age_s, changed) in enumerate(reversed(seen)):
        same = math.log1p(-noise) - rates * age_s
        density += (1 - 1 / memory) ** ago * (np.log(-np.expm1(same)) if changed else same)
    return float(rates[np.argmax(density)])


@FEW
@given(seen=SEEN, noise=st.sampled_from([0.0, 0.02, 0.2]), memory=st.sampled_from([10.0, 500.0]))
def test_it_is_the_likeliest_rate(seen: Seen, noise: float, memory: float) -> None:
    assert learned(seen, noise=noise, memory=memory).rate == pytest.approx(searched(seen, noise, memory), rel=0.02)


def test_knowing_nothing_it_is_the_guess() -> None:
    assert learned([]).rate == GUESS
    assert learned([(age_s, True) for age_s in (-1.0, math.nan, math.inf)]).rate == GUESS


@FEW
@given(seen=SEEN, age_s=AGES, noise=st.sampled_from([0.0, 0.1]))
def test_a_change_raises_the_rate_and_none_lowers_it(seen: Seen, age_s: float, noise: float) -> None:
    settings = {"noise": noise, "memory": math.inf}
    before = learned(seen, **settings).rate
    assert learned([*seen, (age_s, True)], **settings).rate >= before * (1 - 1e-9)
    assert learned([*seen, (age_s, False)], **settings).rate <= before * (1 + 1e-9)


@FEW
@given(seen=SEEN, also=st.sets(st.integers(0, 39)))
def test_the_more_had_changed_the_higher_is_the_rate(seen: Seen, also: set[int]) -> None:
    more = [(age_s, changed or at in also) for at, (age_s, changed) in enumerate(seen)]
    assert learned(more).rate >= learned(seen).rate * (1 - 1e-9)


@FEW
@given(seen=SEEN)
def test_bounds_hold(seen: Seen) -> None:
    rate = ChangeRate(GUESS, GUESS / 2, GUESS * 3)
    for age_s, changed in seen:
        rate.add(age_s, changed=changed)
        assert GUESS / 2 <= rate.rate <= GUESS * 3


@pytest.mark.parametrize("true", [GUESS / 30, GUESS, 30 * GUESS])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_it_finds_the_rate_of_a_poisson_process(true: float, noise: float) -> None:
    draw = random.Random(5)
    rate = ChangeRate(GUESS, 1e-9, 1.0, noise=noise, memory=1_000)
    for _ in range(6_000):
        age_s = draw.uniform(0.1, 1.9) / true
        changed = draw.random() >= math.exp(-true * age_s) * (1 - noise)
        rate.add(age_s, changed=changed)
    assert rate.rate == pytest.approx(true, rel=0.15)


def test_it_follows_a_rate_that_changes() -> None:
    draw = random.Random(6)
    rate = ChangeRate(GUESS, 1e-9, 1.0, memory=200)
    for true in (GUESS / 5, 5 * GUESS):
        for _ in range(1_500):
            age_s = draw.uniform(0.1, 1.0) / true
            rate.add(age_s, changed=draw.random() < -math.expm1(-true * age_s))
        assert rate.rate == pytest.approx(true, rel=0.25)


@FEW
@given(before=SEEN, after=SEEN)
def test_a_restored_rate_goes_on_as_the_old_one(before: Seen, after: Seen) -> None:
    old, new = learned(before), learned([])
    state = json.loads(json.dumps(dict(old.snapshot()), allow_nan=False))
    new.restore(state)
    assert dict(new.snapshot()) == state
    assert new.rate == (old.rate if before else pytest.approx(GUESS))
    for age_s, changed in after:
        old.add(age_s, changed=changed)
        new.add(age_s, changed=changed)
        assert new.rate == old.rate


def test_the_state_is_bounded() -> None:
    draw = random.Random(7)
    rate = learned([])
    for _ in range(2_000):
        rate.add(10 ** draw.uniform(-3, 12), changed=draw.random() < 0.5)
    state = rate.snapshot()
    assert len(state["changed"]) <= BINS
    assert rate.revisions == pytest.approx(500, rel=0.05)
    for _ in range(20_000):
        rate.add(60.0, changed=True)
    assert len(rate.snapshot()["changed"]) == 1


@pytest.mark.parametrize("share", [1e-4, 0.01, 0.05, 0.3, 0.9])
def test_the_stale_share_of_a_lifetime_is_what_was_asked_for(share: float) -> None:
    changes = changes_within(share)
    ages = np.linspace(0, changes, 100_001)
    assert float(np.mean(-np.expm1(-ages))) == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"prior": -1.0, "held": [1.0, 2.0], "changed": []},
        {"prior": None, "held": [1.0, 2.0], "changed": []},
        {"prior": 1.0, "held": [1.0, 2.0]},
        {"prior": 1.0, "held": [1.0], "changed": []},
        {"prior": 1.0, "held": [1.0, -2.0], "changed": []},
        {"prior": 1.0, "held": [1.0, math.nan], "changed": []},
        {"prior": 1.0, "held": [1.0, True], "changed": []},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": 3},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": [3]},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": [[BINS, 1.0, 1.0]]},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": [[-1, 1.0, 1.0]]},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": [[2.0, 1.0, 1.0]]},
        {"prior": 1.0, "held": [1.0, 2.0], "changed": [[2, 1.0]]},
    ],
)
def test_another_state_is_refused_and_changes_nothing(state: Any) -> None:
    rate = learned([(60.0, True), (3_600.0, False)])
    before, was = dict(rate.snapshot()), rate.rate
    with pytest.raises((ValueError, KeyError, TypeError)):
        rate.restore(state)
    assert (dict(rate.snapshot()), rate.rate) == (before, was)
