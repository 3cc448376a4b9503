from __future__ import annotations

import math

import pytest

from forebay.middleware.analysis.facts import Volatility
from forebay.middleware.lifetimes import Lifetime
from forebay.middleware.records import Controls
from forebay.policies.expiry.fixed import FixedExpiry
from tests.contract.expiry import DECLINED, ExpiryContract, fresh_s, lifetime


class TestFixedExpiry(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=120.0)


class TestKeepNothing(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=0.0, grace_s=10.0)


class TestWithGrace(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(grace_s=100.0, error_grace_s=1_000.0)

    @pytest.mark.parametrize("volatility", [Volatility.TIMELESS, Volatility.SLOW, Volatility.DAILY])
    def test_grace_is_the_same_for_all_that_may_be_stale(self, expiry: FixedExpiry, volatility: Volatility) -> None:
        given = lifetime(expiry, None, volatility)
        assert (given.grace_s, given.error_grace_s) == (100.0, 1_000.0)
        assert lifetime(expiry, Controls(ttl_s=200.0), volatility) == Lifetime(200.0, 100.0, 200.0)


class TestByKind(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=600.0, slow_s=1e6, daily_s=60.0, live_s=1.0, personal_s=2.0)

    def test_each_kind_has_its_own_lifetime_within_the_longest(self, expiry: FixedExpiry) -> None:
        lifetimes = [fresh_s(expiry, None, volatility) for volatility in Volatility]
        assert lifetimes == [600.0, 600.0, 60.0, 1.0, 2.0]
        assert fresh_s(expiry, 30.0, Volatility.DAILY) == 30.0
        assert fresh_s(expiry, 90.0, Volatility.DAILY) == 60.0


def test_what_is_stale_at_once_is_not_kept() -> None:
    lifetimes = {volatility: fresh_s(FixedExpiry(ttl_s=1e6), None, volatility) for volatility in Volatility}
    assert lifetimes == {
        Volatility.TIMELESS: 1e6,
        Volatility.SLOW: 86_400.0,
        Volatility.DAILY: 3_600.0,
        Volatility.LIVE: 0.0,
        Volatility.PERSONAL: 3_600.0,
    }


def test_a_day_without_grace_is_the_default() -> None:
    assert lifetime(FixedExpiry()) == Lifetime(86_400.0)


@pytest.mark.parametrize(("negative_s", "kept_s"), [(5.0, 5.0), (1e9, 120.0)])
def test_an_answer_that_declines_is_kept_as_long_as_such_may_be(negative_s: float, kept_s: float) -> None:
    expiry = FixedExpiry(ttl_s=120.0, grace_s=60.0, negative_s=negative_s)
    assert lifetime(expiry, answer=DECLINED) == Lifetime(kept_s)


@pytest.mark.parametrize(
    "name", ["ttl_s", "slow_s", "daily_s", "live_s", "personal_s", "grace_s", "error_grace_s", "negative_s"]
)
@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_a_meaningless_lifetime_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        FixedExpiry(**{name: seconds})
