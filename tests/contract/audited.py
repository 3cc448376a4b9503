"""What every audited acceptance policy must do: subclass `AuditedContract` and override `make`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import Acceptance, Audited
from forebay.middleware.records import Asked, Audit, JsonObject
from tests.contract.acceptance import asking, candidate

NAMES = st.sampled_from(["", "a", "b"])
DECISIONS = st.tuples(NAMES, NAMES, NAMES, st.floats(-1.0, 1.0))
AUDITS = st.lists(
    st.tuples(
        DECISIONS,
        st.sampled_from([True, True, True, False, None]),
        st.sampled_from(["candidate", "candidate", "repeat", "control"]),
        st.sampled_from([1, 3, 250]),
    ),
    max_size=6,
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
Decision = tuple[str, str, str, float]
Step = tuple[Decision, bool | None, str, int]
QUESTION = "What is the capital of France?"


def asked_by(tenant: str, route: str, category: str) -> Asked:
    return Asked(asking(QUESTION).key, tenant, route, category)


def decided(policy: Any, decision: Decision) -> tuple[Any, float]:
    *who, similarity = decision
    asked = asked_by(*who)
    verdict = policy.judge(asked, candidate(QUESTION, similarity))
    return verdict, policy.share(asked, verdict)


def do(policy: Any, step: Step) -> None:
    """Judge once and learn the same outcome several times."""
    (*who, similarity), same, kind, times = step
    asked = asked_by(*who)
    verdict = policy.judge(asked, candidate(QUESTION, similarity))
    share = policy.share(asked, verdict)
    for _ in range(times):
        policy.learn(Audit(asked, verdict, same, share or 1.0, served=verdict.proven, kind=kind))


class AuditedContract:
    def make(self) -> Any:
        """Return a policy that knows nothing; it is an acceptance policy, too."""
        raise NotImplementedError

    def test_it_is_an_audited_acceptance_policy(self) -> None:
        assert isinstance(self.make(), Acceptance)
        assert isinstance(self.make(), Audited)

    @FEW
    @given(steps=AUDITS, decision=DECISIONS)
    def test_shares_are_probabilities_whatever_was_learned(self, steps: list[Step], decision: Decision) -> None:
        policy = self.make()
        for step in steps:
            do(policy, step)
        verdict, share = decided(policy, decision)
        assert 0.0 <= share <= 1.0
        assert 0.0 <= verdict.confidence <= 1.0

    @FEW
    @given(steps=AUDITS)
    def test_what_is_refused_is_not_audited(self, steps: list[Step]) -> None:
        policy = self.make()
        for step in steps:
            do(policy, step)
        verdict, share = decided(policy, ("a", "b", "", -1.0))
        assert not verdict.accepted
        assert share == 0.0

    @FEW
    @given(before=AUDITS, after=AUDITS, decisions=st.lists(DECISIONS, max_size=8))
    def test_a_restored_policy_goes_on_as_the_old_one(
        self, before: list[Step], after: list[Step], decisions: list[Decision]
    ) -> None:
        old, new = self.make(), self.make()
        for step in before:
            do(old, step)
        state = json.loads(json.dumps(dict(old.snapshot()), allow_nan=False))
        new.restore(state)
        assert new.snapshot() == state
        for step in after:
            do(old, step)
            do(new, step)
        assert [decided(old, each) for each in decisions] == [decided(new, each) for each in decisions]
        assert old.snapshot() == new.snapshot()

    @FEW
    @given(steps=AUDITS)
    def test_a_snapshot_does_not_change_afterwards(self, steps: list[Step]) -> None:
        policy = self.make()
        for step in steps:
            do(policy, step)
        state = policy.snapshot()
        text = json.dumps(dict(state))
        do(policy, (("a", "a", "a", 1.0), False, "candidate", 3))
        assert json.dumps(dict(state)) == text

    @FEW
    @given(steps=AUDITS)
    def test_a_report_is_flat_json(self, steps: list[Step]) -> None:
        policy = self.make()
        for step in steps:
            do(policy, step)
        for row in policy.report():
            assert json.loads(json.dumps(dict(row), allow_nan=False)) == row
            assert all(isinstance(value, str | bool | int | float | None) for value in row.values())

    @pytest.mark.parametrize("state", [{}, {"policy": "lru"}, {"entries": []}, {"strata": 1}])
    def test_another_state_is_refused_and_changes_nothing(self, state: JsonObject) -> None:
        policy = self.make()
        do(policy, (("a", "b", "c", 1.0), True, "candidate", 100))
        before = json.dumps(dict(policy.snapshot()))
        with pytest.raises((ValueError, KeyError, TypeError)):
            policy.restore(state)
        assert json.dumps(dict(policy.snapshot())) == before
