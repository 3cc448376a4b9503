"""What every acceptance policy must do: subclass `AcceptanceContract` and give it a fixture `acceptance`."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import Acceptance
from forebay.middleware.records import Asked, Candidate, Key
from tests.contract.entries import digest, make_entry

TEXTS = st.text(st.characters(), max_size=80)
SIMILARITIES = st.floats(-1.0, 1.0)


def asking(question: str, reading: str = "") -> Asked:
    """Return what a policy is told about a request that asks this, leaning on that."""
    return Asked(Key(scope=digest("scope"), context="", exact=digest("asked"), text=question, reading=reading))


def candidate(question: str, similarity: float, *, reading: str = "", context_similarity: float = 1.0) -> Candidate:
    return Candidate(make_entry(question=question, reading=reading), similarity, context_similarity)


class AcceptanceContract:
    def test_it_is_an_acceptance_policy(self, acceptance: Acceptance) -> None:
        assert isinstance(acceptance, Acceptance)

    def test_the_same_question_is_accepted(self, acceptance: Acceptance) -> None:
        question = "What is the capital of France?"
        assert acceptance.judge(asking(question), candidate(question, 1.0)).accepted

    @pytest.mark.parametrize("similarity", [math.nan, -1.0, -math.inf])
    def test_what_is_not_near_is_refused(self, acceptance: Acceptance, similarity: float) -> None:
        question = "What is the capital of France?"
        assert not acceptance.judge(asking(question), candidate(question, similarity)).accepted

    def test_the_same_words_about_something_else_are_refused(self, acceptance: Acceptance) -> None:
        question = "How do I cancel it?"
        other = candidate(question, 1.0, reading="my gym membership", context_similarity=0.3)
        assert not acceptance.judge(asking(question, "my flight to Oslo"), other).accepted
        assert not acceptance.judge(asking(question), other).accepted
        same = candidate(question, 1.0, reading="my gym membership")
        assert acceptance.judge(asking(question, "my gym membership"), same).accepted

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(asked=TEXTS, kept=TEXTS, similarity=st.floats())
    def test_no_text_and_no_similarity_makes_it_raise(
        self, acceptance: Acceptance, asked: str, kept: str, similarity: float
    ) -> None:
        verdict = acceptance.judge(asking(asked), candidate(kept, similarity))
        assert 0.0 <= verdict.confidence <= 1.0
        assert verdict.reason

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(asked=TEXTS, kept=TEXTS, pair=st.tuples(SIMILARITIES, SIMILARITIES).map(sorted))
    def test_a_nearer_vector_never_makes_it_less_sure(
        self, acceptance: Acceptance, asked: str, kept: str, pair: list[float]
    ) -> None:
        lower, higher = (acceptance.judge(asking(asked), candidate(kept, similarity)) for similarity in pair)
        assert lower.confidence <= higher.confidence
        assert lower.accepted <= higher.accepted
