"""What every expiry policy must do: subclass `ExpiryContract` and give it a fixture `expiry`; see `RevisedContract`, too."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import RequestFacts, Staleness, Volatility
from forebay.middleware.lifetimes import Lifetime, Revision
from forebay.middleware.protocols import Expiry, Revised
from forebay.middleware.records import Answer, Controls, JsonObject, Request
from tests.contract.entries import make_answer

REQUEST = Request(id="r", model="small", messages=({"role": "user", "content": "What is a forebay?"},))
FACTS = RequestFacts(input_tokens=10, turns=1, task="question", cacheable=True, semantic=True)
DECLINED = make_answer("I'm sorry, but I can't help with that.")
FEW = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture],
)
WISHES = st.none() | st.floats()
KINDS = st.none() | st.sampled_from(Volatility)


def facts_of(volatility: Volatility | None) -> RequestFacts:
    return FACTS if volatility is None else replace(FACTS, staleness=Staleness(volatility, "of a test"))


def lifetime(
    expiry: Expiry,
    controls: Controls | None = None,
    volatility: Volatility | None = None,
    *,
    request: Request = REQUEST,
    answer: Answer | None = None,
) -> Lifetime:
    asked = replace(request, controls=controls or Controls())
    return expiry.lifetime(asked, facts_of(volatility), answer or make_answer())


def fresh_s(expiry: Expiry, asked: float | None = None, volatility: Volatility | None = None) -> float:
    return lifetime(expiry, Controls(ttl_s=asked), volatility).fresh_s


class ExpiryContract:
    def test_it_is_an_expiry_policy(self, expiry: Expiry) -> None:
        assert isinstance(expiry, Expiry)

    @FEW
    @given(ttl_s=WISHES, max_stale_s=WISHES, kind=KINDS, text=st.text())
    def test_a_lifetime_is_finite_whatever_is_asked(
        self, expiry: Expiry, ttl_s: float | None, max_stale_s: float | None, kind: Volatility | None, text: str
    ) -> None:
        request = replace(REQUEST, messages=({"role": "user", "content": text},))
        given = lifetime(expiry, Controls(ttl_s=ttl_s, max_stale_s=max_stale_s), kind, request=request)
        for seconds in (given.fresh_s, given.grace_s, given.error_grace_s):
            assert 0.0 <= seconds < math.inf
        assert given.fresh_s > 0.0 or given == Lifetime(0.0)
        assert given == lifetime(expiry, Controls(ttl_s=ttl_s, max_stale_s=max_stale_s), kind, request=request)

    @pytest.mark.parametrize("asked", [0.0, 0.5, 60.0, 1e9, math.inf])
    def test_the_caller_may_ask_for_less(self, expiry: Expiry, asked: float) -> None:
        most = min(asked, fresh_s(expiry))
        assert fresh_s(expiry, asked) <= most
        assert fresh_s(expiry, asked) == pytest.approx(most, rel=0.002)

    @pytest.mark.parametrize("asked", [-1.0, -math.inf, math.nan])
    def test_a_meaningless_wish_keeps_nothing(self, expiry: Expiry, asked: float) -> None:
        assert lifetime(expiry, Controls(ttl_s=asked)) == Lifetime(0.0)

    @pytest.mark.parametrize("volatility", Volatility)
    def test_what_goes_stale_is_kept_no_longer_than_what_does_not(self, expiry: Expiry, volatility: Volatility) -> None:
        assert 0.0 <= fresh_s(expiry, None, volatility) <= fresh_s(expiry, None, Volatility.TIMELESS) < math.inf
        assert fresh_s(expiry, math.nan, volatility) == 0.0
        assert fresh_s(expiry, 0.5, volatility) <= 0.5

    @pytest.mark.parametrize("volatility", Volatility)
    @pytest.mark.parametrize("asked", [5.0, 1e9])
    def test_no_grace_is_longer_than_the_ttl_that_was_asked_for(
        self, expiry: Expiry, volatility: Volatility, asked: float
    ) -> None:
        given, whole = lifetime(expiry, Controls(ttl_s=asked), volatility), lifetime(expiry, None, volatility)
        assert given.grace_s <= min(asked, whole.grace_s)
        assert given.error_grace_s <= min(asked, whole.error_grace_s)

    @pytest.mark.parametrize("most_stale", [0.0, -1.0, math.nan, 2.0])
    def test_a_ttl_with_a_limit_of_staleness_is_kept_to(self, expiry: Expiry, most_stale: float) -> None:
        given = lifetime(expiry, Controls(ttl_s=60.0, max_stale_s=most_stale))
        assert max(given.grace_s, given.error_grace_s) <= (2.0 if most_stale == 2.0 else 0.0)

    def test_a_limit_of_staleness_alone_changes_nothing_that_is_kept_for_all(self, expiry: Expiry) -> None:
        assert lifetime(expiry, Controls(max_stale_s=0.0)) == lifetime(expiry)

    @pytest.mark.parametrize("volatility", [Volatility.LIVE, Volatility.PERSONAL])
    def test_live_and_personal_answers_are_never_served_stale(self, expiry: Expiry, volatility: Volatility) -> None:
        given = lifetime(expiry, None, volatility)
        assert (given.grace_s, given.error_grace_s) == (0.0, 0.0)

    @pytest.mark.parametrize("answer", [DECLINED, make_answer(""), Answer({"error": {"message": "overloaded"}})])
    def test_an_answer_that_says_nothing_is_not_kept(self, expiry: Expiry, answer: Answer) -> None:
        assert lifetime(expiry, answer=answer) == Lifetime(0.0)

    @pytest.mark.parametrize("volatility", Volatility)
    def test_embeddings_are_timeless(self, expiry: Expiry, volatility: Volatility) -> None:
        request = replace(REQUEST, endpoint="embeddings")
        answer = Answer({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]})
        given = lifetime(expiry, None, volatility, request=request, answer=answer)
        assert given.fresh_s >= fresh_s(expiry, None, Volatility.TIMELESS)


REVISIONS = st.lists(
    st.builds(
        Revision,
        kind=st.sampled_from(["", "another", *(kind.value for kind in Volatility)]),
        age_s=st.floats(0.0, 1e8) | st.sampled_from([-1.0, math.inf, math.nan]),
        changed=st.booleans(),
    ),
    max_size=20,
)


class RevisedContract:
    """For policies that learn, beside `ExpiryContract`: override `make`."""

    def make(self) -> Any:
        """Return a policy that knows nothing; it is an expiry policy, too."""
        raise NotImplementedError

    def test_it_learns_from_revisions(self) -> None:
        assert isinstance(self.make(), Expiry)
        assert isinstance(self.make(), Revised)

    @FEW
    @given(before=REVISIONS, after=REVISIONS)
    def test_a_restored_policy_goes_on_as_the_old_one(self, before: list[Revision], after: list[Revision]) -> None:
        old, new = self.make(), self.make()
        for revision in before:
            old.learn(revision)
        state = json.loads(json.dumps(dict(old.snapshot()), allow_nan=False))
        new.restore(state)
        assert new.snapshot() == state
        for revision in after:
            old.learn(revision)
            new.learn(revision)
        for kind in (None, *Volatility):
            assert lifetime(old, None, kind) == lifetime(new, None, kind)
        assert old.snapshot() == new.snapshot()

    @FEW
    @given(revisions=REVISIONS)
    def test_a_report_is_flat_json(self, revisions: list[Revision]) -> None:
        policy = self.make()
        for revision in revisions:
            policy.learn(revision)
        for row in policy.report():
            assert json.loads(json.dumps(dict(row), allow_nan=False)) == row
            assert all(isinstance(value, str | bool | int | float | None) for value in row.values())

    def test_a_snapshot_does_not_change_afterwards(self) -> None:
        policy = self.make()
        policy.learn(Revision("daily", 60.0, changed=True))
        state = policy.snapshot()
        text = json.dumps(dict(state))
        policy.learn(Revision("daily", 60.0, changed=True))
        assert json.dumps(dict(state)) == text

    @pytest.mark.parametrize(
        "state", [{}, {"policy": "lru"}, {"policy": "volatility"}, {"policy": "volatility", "schema": 1, "rates": 3}]
    )
    def test_another_state_is_refused_and_changes_nothing(self, state: JsonObject) -> None:
        policy = self.make()
        policy.learn(Revision("daily", 60.0, changed=True))
        before = json.dumps(dict(policy.snapshot()))
        with pytest.raises((ValueError, KeyError, TypeError)):
            policy.restore(state)
        assert json.dumps(dict(policy.snapshot())) == before
