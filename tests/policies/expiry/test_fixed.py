from __future__ import annotations

import math

import pytest

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


def test_a_day_is_the_default() -> None:
    assert lifetime_s(FixedExpiry()) == 86_400.0


@pytest.mark.parametrize("ttl_s", [-1.0, math.inf, math.nan])
def test_a_meaningless_lifetime_is_refused(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="ttl_s"):
        FixedExpiry(ttl_s=ttl_s)
