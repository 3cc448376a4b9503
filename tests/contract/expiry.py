"""What every expiry policy must do: subclass `ExpiryContract` and give it a fixture `expiry`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from forebay.middleware.analysis.facts import RequestFacts, Staleness, Volatility
from forebay.middleware.protocols import Expiry
from forebay.middleware.records import Controls, Request
from tests.contract.entries import make_answer

REQUEST = Request(id="r", model="small", messages=({"role": "user", "content": "What is a forebay?"},))
FACTS = RequestFacts(input_tokens=10, turns=1, task="question", cacheable=True, semantic=True)


def lifetime_s(expiry: Expiry, asked: float | None = None, volatility: Volatility | None = None) -> float:
    request = replace(REQUEST, controls=Controls(ttl_s=asked))
    facts = FACTS if volatility is None else replace(FACTS, staleness=Staleness(volatility, "of a test"))
    return expiry.lifetime_s(request, facts, make_answer())


class ExpiryContract:
    def test_it_is_an_expiry_policy(self, expiry: Expiry) -> None:
        assert isinstance(expiry, Expiry)

    def test_a_lifetime_is_finite_and_not_negative(self, expiry: Expiry) -> None:
        assert 0.0 <= lifetime_s(expiry) < math.inf

    @pytest.mark.parametrize("asked", [0.0, 0.5, 60.0, 1e9, math.inf])
    def test_the_caller_may_ask_for_less(self, expiry: Expiry, asked: float) -> None:
        assert lifetime_s(expiry, asked) == min(asked, lifetime_s(expiry))

    @pytest.mark.parametrize("asked", [-1.0, -math.inf, math.nan])
    def test_a_meaningless_wish_keeps_nothing(self, expiry: Expiry, asked: float) -> None:
        assert lifetime_s(expiry, asked) == 0.0

    @pytest.mark.parametrize("volatility", Volatility)
    def test_what_goes_stale_is_kept_no_longer_than_what_does_not(self, expiry: Expiry, volatility: Volatility) -> None:
        assert 0.0 <= lifetime_s(expiry, None, volatility) <= lifetime_s(expiry, None, Volatility.TIMELESS) < math.inf
        assert lifetime_s(expiry, math.nan, volatility) == 0.0
        assert lifetime_s(expiry, 0.5, volatility) <= 0.5
