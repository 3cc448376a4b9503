from __future__ import annotations

import math

import pytest

from forebay.policies.acceptance.threshold import DEFAULT_THRESHOLD, ThresholdAcceptance
from tests.contract.acceptance import AcceptanceContract, asking, candidate


class TestThresholdAcceptance(AcceptanceContract):
    @pytest.fixture
    def acceptance(self) -> ThresholdAcceptance:
        return ThresholdAcceptance()


def judged(question: str, kept: str, similarity: float) -> tuple[bool, float, str]:
    verdict = ThresholdAcceptance().judge(asking(question), candidate(kept, similarity))
    return verdict.accepted, verdict.confidence, verdict.reason


def test_near_and_alike() -> None:
    assert judged("How do I reset my password?", "How can I reset my password?", 0.97) == (True, 0.97, "accepted")


def test_the_threshold_itself_is_enough() -> None:
    assert judged("x", "x", DEFAULT_THRESHOLD)[0]
    assert judged("x", "x", DEFAULT_THRESHOLD - 1e-6) == (False, 0.0, "below_threshold")


def test_a_conflict_beats_any_similarity() -> None:
    assert judged("How do I enable it?", "How do I disable it?", 1.0) == (False, 0.0, "antonym_conflict")


@pytest.mark.parametrize("similarity", [math.nan, -math.inf])
def test_what_is_no_similarity_is_refused(similarity: float) -> None:
    assert judged("x", "x", similarity) == (False, 0.0, "below_threshold")


def test_rounding_above_one_is_full_confidence() -> None:
    assert judged("x", "x", 1.0000001) == (True, 1.0, "accepted")


def test_the_threshold_can_be_set() -> None:
    lenient = ThresholdAcceptance(threshold=0.5)
    assert lenient.judge(asking("what is it"), candidate("what is this", 0.6)).accepted
