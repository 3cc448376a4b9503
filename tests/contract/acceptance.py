"""What every acceptance policy must do: subclass `AcceptanceContract` and give it a fixture `acceptance`."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import Acceptance
from forebay.middleware.records import Candidate
from tests.contract.entries import make_entry

TEXTS = st.text(st.characters(), max_size=80)
SIMILARITIES = st.floats(-1.0, 1.0)


def candidate(question: str, similarity: float) -> Candidate:
    return Candidate(make_entry(question=question), similarity)


class AcceptanceContract:
    def test_it_is_an_acceptance_policy(self, acceptance: Acceptance) -> None:
        assert isinstance(acceptance, Acceptance)

    def test_the_same_question_is_accepted(self, acceptance: Acceptance) -> None:
        question = "What is the capital of France?"
        assert acceptance.judge(question, candidate(question, 1.0)).accepted

    @pytest.mark.parametrize("similarity", [math.nan, -1.0, -math.inf])
    def test_what_is_not_near_is_refused(self, acceptance: Acceptance, similarity: float) -> None:
        question = "What is the capital of France?"
        assert not acceptance.judge(question, candidate(question, similarity)).accepted

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(asked=TEXTS, kept=TEXTS, similarity=st.floats())
    def test_no_text_and_no_similarity_makes_it_raise(
        self, acceptance: Acceptance, asked: str, kept: str, similarity: float
    ) -> None:
        verdict = acceptance.judge(asked, candidate(kept, similarity))
        assert 0.0 <= verdict.confidence <= 1.0
        assert verdict.reason

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(asked=TEXTS, kept=TEXTS, pair=st.tuples(SIMILARITIES, SIMILARITIES).map(sorted))
    def test_a_nearer_vector_never_makes_it_less_sure(
        self, acceptance: Acceptance, asked: str, kept: str, pair: list[float]
    ) -> None:
        lower, higher = (acceptance.judge(asked, candidate(kept, similarity)) for similarity in pair)
        assert lower.confidence <= higher.confidence
        assert lower.accepted <= higher.accepted
