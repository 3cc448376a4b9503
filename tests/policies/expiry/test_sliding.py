from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import Volatility
from forebay.middleware.lifetimes import Lifetime
from forebay.middleware.protocols import Renewing
from forebay.middleware.records import Controls, Entry
from forebay.policies.expiry.sliding import WRITES, SlidingExpiry
from tests.contract.entries import make_entry
from tests.contract.expiry import DECLINED, ExpiryContract, fresh_s, lifetime

MADE_S = 1_700_000_000.0


class TestSlidingExpiry(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> SlidingExpiry:
        return SlidingExpiry(grace_s=60.0, error_grace_s=600.0)


class TestNothingSlides(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> SlidingExpiry:
        return SlidingExpiry(idle_s=1_000.0, max_s=100.0)

    def test_no_entry_outlives_the_longest(self, expiry: SlidingExpiry) -> None:
        assert fresh_s(expiry) == 100.0
        assert expiry.renewed_s(made(100.0), MADE_S + 50.0) is None


class TestKeepNothing(ExpiryContract):
    @pytest.fixture
    def expiry(self) -> SlidingExpiry:
        return SlidingExpiry(idle_s=0.0)

    def test_nothing_is_renewed(self, expiry: SlidingExpiry) -> None:
        assert expiry.renewed_s(made(100.0), MADE_S + 50.0) is None


def made(fresh: float) -> Entry:
    return make_entry(created_s=MADE_S, expires_s=MADE_S + fresh)


def served(expiry: SlidingExpiry, fresh: float, times: list[float]) -> tuple[list[float], float]:
    """Serve an entry at those seconds after it was made; return when it was written again, and until when it lived."""
    entry, writes = made(fresh), list[float]()
    for at in times:
        until_s = expiry.renewed_s(entry, MADE_S + at)
        if until_s is not None:
            assert until_s > entry.expires_s
            entry = replace(entry, expires_s=until_s)
            writes.append(at)
    return writes, entry.expires_s - MADE_S


def test_it_renews() -> None:
    assert isinstance(SlidingExpiry(), Renewing)


def test_what_is_used_lives_on_until_the_longest() -> None:
    expiry = SlidingExpiry(idle_s=100.0, max_s=1_000.0)
    assert served(expiry, 100.0, [50.0, 149.0]) == ([50.0, 149.0], 249.0)
    assert served(expiry, 100.0, [float(at) for at in range(2_000)])[1] == 1_000.0


def test_a_use_that_gains_less_than_a_tenth_is_not_written() -> None:
    expiry = SlidingExpiry(idle_s=100.0, max_s=1_000.0)
    assert served(expiry, 100.0, [9.0, 10.0, 19.0, 20.0]) == ([10.0, 20.0], 120.0)


def test_what_has_expired_or_is_of_the_future_is_not_renewed() -> None:
    expiry = SlidingExpiry(idle_s=100.0, max_s=1_000.0)
    assert served(expiry, 100.0, [-1.0, 100.0, 101.0]) == ([], 100.0)


@given(times=st.lists(st.floats(0.0, 3_000.0), max_size=200), idle_s=st.floats(10.0, 500.0))
def test_writes_are_bounded_and_so_is_the_life(times: list[float], idle_s: float) -> None:
    expiry = SlidingExpiry(idle_s=idle_s, max_s=1_000.0)
    writes, lived_s = served(expiry, idle_s, sorted(times))
    assert lived_s <= 1_000.0
    for before, after in pairwise(writes):
        assert after - before >= idle_s / WRITES - 1e-5


@pytest.mark.parametrize("volatility", [Volatility.SLOW, Volatility.DAILY, Volatility.PERSONAL])
@pytest.mark.parametrize("limit_s", [30.0, 99.0, 1e6])
def test_what_goes_stale_does_not_slide(volatility: Volatility, limit_s: float) -> None:
    expiry = SlidingExpiry(idle_s=100.0, max_s=1_000.0, slow_s=limit_s, daily_s=limit_s, personal_s=limit_s)
    lived_s = fresh_s(expiry, None, volatility)
    assert lived_s == pytest.approx(min(limit_s, 100.0), rel=0.002)
    writes, end_s = served(expiry, lived_s, [float(at) for at in range(2_000)])
    assert not writes
    assert end_s == pytest.approx(lived_s)


@pytest.mark.parametrize("asked", [5.0, 100.0, 400.0])
def test_what_a_caller_wants_kept_for_less_does_not_slide(asked: float) -> None:
    expiry = SlidingExpiry(idle_s=100.0, max_s=1_000.0)
    lived_s = fresh_s(expiry, asked)
    assert lived_s <= asked
    writes, end_s = served(expiry, lived_s, [float(at) for at in range(2_000)])
    assert not writes
    assert end_s == pytest.approx(lived_s)
    assert served(expiry, fresh_s(expiry, 1_000.0), [float(at) for at in range(2_000)])[1] == 1_000.0


def test_an_answer_that_declines_lives_once() -> None:
    expiry = SlidingExpiry(idle_s=100.0, negative_s=1_000.0)
    lived_s = lifetime(expiry, Controls(), answer=DECLINED).fresh_s
    assert 0.0 < lived_s < 100.0
    writes, end_s = served(expiry, lived_s, [50.0])
    assert not writes
    assert end_s == pytest.approx(lived_s)


def test_a_day_after_the_last_use_is_the_default() -> None:
    assert lifetime(SlidingExpiry()) == Lifetime(86_400.0)
    assert served(SlidingExpiry(), 86_400.0, [80_000.0 * at for at in range(100)])[1] == 7 * 86_400.0


@pytest.mark.parametrize("name", ["idle_s", "max_s", "slow_s", "daily_s", "live_s", "personal_s", "grace_s"])
@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_a_meaningless_lifetime_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        SlidingExpiry(**{name: seconds})
