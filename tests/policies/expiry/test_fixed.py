from __future__ import annotations

import math

import pytest

from forebay.middleware.analysis.facts import Volatility
from forebay.policies.expiry.fixed import FixedExpiry
from tests.contract.expiry import ExpiryContract, lifetime_s


class TestFixedExpiry(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=120.0)


class TestKeepNothing(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=0.0)


class TestByKind(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> FixedExpiry:
        return FixedExpiry(ttl_s=600.0, slow_s=1e6, daily_s=60.0, live_s=1.0, personal_s=2.0)

    def test_each_kind_has_its_own_lifetime_within_the_longest(self, expiry: FixedExpiry) -> None:
        lifetimes = [lifetime_s(expiry, None, volatility) for volatility in Volatility]
        assert lifetimes == [600.0, 600.0, 60.0, 1.0, 2.0]
        assert lifetime_s(expiry, 30.0, Volatility.DAILY) == 30.0
        assert lifetime_s(expiry, 90.0, Volatility.DAILY) == 60.0


def test_what_is_stale_at_once_is_not_kept() -> None:
    lifetimes = {volatility: lifetime_s(FixedExpiry(ttl_s=1e6), None, volatility) for volatility in Volatility}
    assert lifetimes == {
        Volatility.TIMELESS: 1e6,
        Volatility.SLOW: 86_400.0,
        Volatility.DAILY: 3_600.0,
        Volatility.LIVE: 0.0,
        Volatility.PERSONAL: 3_600.0,
    }


def test_a_day_is_the_default() -> None:
    assert lifetime_s(FixedExpiry()) == 86_400.0


@pytest.mark.parametrize("name", ["ttl_s", "slow_s", "daily_s", "live_s", "personal_s"])
@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_a_meaningless_lifetime_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        FixedExpiry(**{name: seconds})
