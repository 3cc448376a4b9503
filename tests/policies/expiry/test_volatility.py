from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import Volatility
from forebay.middleware.lifetimes import Lifetime, Revision
from forebay.middleware.records import Controls
from forebay.policies.expiry.rate import ChangeRate, changes_within
from forebay.policies.expiry.volatility import BOUNDS, Bounds, VolatilityExpiry
from tests.contract.expiry import (
    DECLINED,
    FEW,
    REQUEST,
    REVISIONS,
    ExpiryContract,
    RevisedContract,
    facts_of,
    fresh_s,
    lifetime,
)

HOUR_S = 3_600.0
DAY_S = 86_400.0
LEARNING = [kind for kind, bounds in BOUNDS.items() if bounds.max_s]


def asked_of(number: int) -> Any:
    return replace(REQUEST, messages=({"role": "user", "content": f"What is {number}?"},))


def revisions(kind: str, count: int, *, changed: bool, age_s: float = HOUR_S) -> list[Revision]:
    return [Revision(kind, age_s, changed)] * count


def learned(seen: list[Revision], **settings: Any) -> VolatilityExpiry:
    policy = VolatilityExpiry(**settings)
    for revision in seen:
        policy.learn(revision)
    return policy


class TestVolatilityExpiry(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> VolatilityExpiry:
        return VolatilityExpiry()


class TestKeepNothing(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> VolatilityExpiry:
        return VolatilityExpiry(dict.fromkeys(Volatility, Bounds(0.0, 0.0, 0.0)))

    def test_it_learns_nothing(self, expiry: VolatilityExpiry) -> None:
        expiry.learn(Revision("daily", 60.0, changed=True))
        assert not expiry.report()


class TestRevised(RevisedContract):
    def make(self) -> VolatilityExpiry:
        return VolatilityExpiry()


def test_to_begin_with_each_kind_has_its_start() -> None:
    policy = VolatilityExpiry(jitter=0.0)
    for kind, bounds in BOUNDS.items():
        assert fresh_s(policy, None, kind) == pytest.approx(bounds.start_s)
    assert fresh_s(policy) == fresh_s(policy, None, Volatility.TIMELESS)
    assert lifetime(policy, None, Volatility.LIVE) == Lifetime(0.0)


@pytest.mark.parametrize("kind", LEARNING)
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_what_changes_is_kept_shorter_and_what_holds_longer(kind: Volatility, share: float) -> None:
    start_s = fresh_s(VolatilityExpiry(stale_share=share), None, kind)
    for count in (1, 10, 100):
        changing = learned(revisions(kind.value, count, changed=True, age_s=start_s), stale_share=share)
        holding = learned(revisions(kind.value, count, changed=False, age_s=start_s), stale_share=share)
        assert fresh_s(changing, None, kind) < start_s < fresh_s(holding, None, kind)


def test_one_kind_learns_nothing_from_another() -> None:
    policy = learned(revisions("daily", 100, changed=True))
    assert fresh_s(policy, None, Volatility.SLOW) == fresh_s(VolatilityExpiry(), None, Volatility.SLOW)
    assert (
        policy.snapshot()
        == learned(revisions("daily", 100, changed=True) + revisions("other", 9, changed=True)).snapshot()
    )


def test_a_few_revisions_move_little() -> None:
    start_s = fresh_s(VolatilityExpiry(), None, Volatility.DAILY)
    once = learned(revisions("daily", 1, changed=True))
    assert start_s > fresh_s(once, None, Volatility.DAILY) > 0.75 * start_s


def test_answers_of_no_kind_are_of_what_is_taken_to_be_timeless() -> None:
    policy = learned(revisions("", 50, changed=True))
    assert fresh_s(policy) == fresh_s(policy, None, Volatility.TIMELESS) < fresh_s(VolatilityExpiry())


def test_the_lifetime_is_the_one_of_which_the_share_is_stale() -> None:
    bounds = {**BOUNDS, Volatility.DAILY: Bounds(HOUR_S, 1.0, 100 * DAY_S)}
    policy = VolatilityExpiry(bounds, stale_share=0.1, jitter=0.0, noise=0.0)
    alone = ChangeRate(changes_within(0.1) / HOUR_S, 1e-9, 1.0)
    for at in range(200):
        policy.learn(Revision("daily", 100.0 * at, changed=at % 3 == 0))
        alone.add(100.0 * at, changed=at % 3 == 0)
    changes = alone.rate * fresh_s(policy, None, Volatility.DAILY)
    assert 1 + math.expm1(-changes) / changes == pytest.approx(0.1)
    (row,) = [row for row in policy.report() if row["kind"] == "daily"]
    assert row["changes_per_day"] == pytest.approx(alone.rate * DAY_S)


@FEW
@given(seen=REVISIONS, kind=st.sampled_from(LEARNING), number=st.integers(), jitter=st.sampled_from([0.0, 0.1, 0.9]))
def test_bounds_hold_whatever_was_learned(seen: list[Revision], kind: Volatility, number: int, jitter: float) -> None:
    policy = learned(seen, jitter=jitter)
    given = lifetime(policy, None, kind, request=asked_of(number))
    bounds = BOUNDS[kind]
    assert bounds.min_s <= given.fresh_s <= bounds.max_s
    assert given.grace_s <= min(0.5 * given.fresh_s, HOUR_S)
    assert given.error_grace_s <= min(DAY_S, bounds.max_s)


@pytest.mark.parametrize("held", [0, 1_000])
def test_what_is_kept_together_does_not_expire_together(held: int) -> None:
    policy = learned(revisions("timeless", held, changed=False, age_s=10 * DAY_S))
    lives = sorted(lifetime(policy, request=asked_of(number)).fresh_s for number in range(200))
    middle_s = (lives[0] + lives[-1]) / 2
    assert lives[-1] / lives[0] == pytest.approx(1.1 / 0.9, rel=0.03)
    assert len({round(life_s) for life_s in lives}) > 190
    assert sum(life_s < middle_s for life_s in lives) == pytest.approx(100, abs=30)


def test_jitter_is_by_model_and_texts() -> None:
    policy = VolatilityExpiry()
    one = lifetime(policy, request=asked_of(1)).fresh_s
    assert one == lifetime(VolatilityExpiry(), request=replace(asked_of(1), id="other", tenant="other")).fresh_s
    assert one != lifetime(policy, request=replace(asked_of(1), model="large")).fresh_s
    parts = ({"role": "user", "content": [{"type": "text", "text": "What is 1?"}]},)
    assert one == lifetime(policy, request=replace(REQUEST, messages=parts)).fresh_s


def test_grace_is_a_share_of_the_lifetime() -> None:
    policy = VolatilityExpiry(jitter=0.0)
    given = lifetime(policy, None, Volatility.DAILY)
    assert (given.grace_s, given.error_grace_s) == (0.5 * given.fresh_s, DAY_S)
    assert lifetime(policy).grace_s == HOUR_S
    asked = lifetime(policy, Controls(ttl_s=60.0), Volatility.DAILY)
    assert asked == Lifetime(60.0, 30.0, 60.0)


@pytest.mark.parametrize(("negative_s", "kept_s"), [(5.0, 5.0), (1e9, HOUR_S)])
def test_an_answer_that_declines_is_kept_as_long_as_such_may_be(negative_s: float, kept_s: float) -> None:
    given = lifetime(VolatilityExpiry(negative_s=negative_s, jitter=0.0), None, Volatility.DAILY, answer=DECLINED)
    assert given.fresh_s == pytest.approx(kept_s)
    assert (given.grace_s, given.error_grace_s) == (0.0, 0.0)


def test_an_embedding_is_kept_longest_whatever_changes() -> None:
    policy = learned(revisions("timeless", 100, changed=True))
    request = replace(REQUEST, endpoint="embeddings")
    kept = policy.lifetime(request, facts_of(Volatility.LIVE), DECLINED)
    assert kept.fresh_s == pytest.approx(BOUNDS[Volatility.TIMELESS].max_s, rel=0.2)


def test_what_was_seen_remains_true_under_other_settings() -> None:
    old = learned(revisions("daily", 400, changed=False, age_s=4 * HOUR_S))
    strict = VolatilityExpiry({**BOUNDS, Volatility.SLOW: Bounds(0.0, 0.0, 0.0)}, stale_share=0.01)
    before_s = fresh_s(strict, None, Volatility.DAILY)
    strict.restore(old.snapshot())
    assert before_s < fresh_s(strict, None, Volatility.DAILY) < fresh_s(old, None, Volatility.DAILY)
    wide = VolatilityExpiry()
    wide.restore(strict.snapshot())  # says nothing of what is slow
    assert fresh_s(wide, None, Volatility.SLOW) == fresh_s(VolatilityExpiry(), None, Volatility.SLOW)


def test_a_state_that_breaks_off_changes_nothing() -> None:
    policy = learned(revisions("daily", 5, changed=True))
    state = {**policy.snapshot(), "rates": {**policy.snapshot()["rates"], "personal": {"held": [1.0, 1.0]}}}
    before = policy.snapshot()
    with pytest.raises(KeyError):
        policy.restore(state)
    assert policy.snapshot() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"stale_share": 0.0},
        {"stale_share": 1.0},
        {"noise": 1.0},
        {"noise": -0.1},
        {"jitter": 1.0},
        {"memory": 1.0},
        {"grace_share": math.nan},
        {"grace_max_s": -1.0},
        {"error_grace_s": math.inf},
        {"negative_s": math.nan},
        {"bounds": {Volatility.DAILY: BOUNDS[Volatility.DAILY]}},
    ],
)
def test_a_meaningless_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        VolatilityExpiry(**settings)


@pytest.mark.parametrize(
    "bounds", [(0.0, 0.0, 9.0), (5.0, 6.0, 9.0), (9.5, 1.0, 9.0), (1.0, -1.0, 9.0), (1.0, 1.0, math.inf)]
)
def test_bounds_out_of_order_are_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="_s"):
        Bounds(*bounds)
