from __future__ import annotations

import pytest

from forebay.middleware.admission.tickets import Load
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.none import NoLimit
from tests.contract.limit import LimitContract
from tests.contract.ordering import ticket


class TestFixedLimit(LimitContract):
    @pytest.fixture
    def limit(self) -> FixedLimit:
        return FixedLimit(max_inflight=3)

    def test_it_admits_up_to_its_number(self, limit: FixedLimit) -> None:
        admitted = [limit.admits(ticket("a"), Load(inflight=inside, queued=0)) for inside in range(5)]
        assert admitted == [True, True, True, False, False]

    @pytest.mark.parametrize("number", [0, -1])
    def test_a_limit_that_admits_nothing_is_refused(self, number: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            FixedLimit(max_inflight=number)


class TestNoLimit(LimitContract):
    @pytest.fixture
    def limit(self) -> NoLimit:
        return NoLimit()

    def test_it_admits_whatever_is_inside(self, limit: NoLimit) -> None:
        assert limit.admits(ticket("a"), Load(inflight=1_000_000, queued=1_000_000))
