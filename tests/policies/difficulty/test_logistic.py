from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from forebay.middleware.analysis.facts import Difficulty, Outcome, RequestFacts, Subject
from forebay.middleware.records import Request
from forebay.policies.difficulty.features import NAMES
from forebay.policies.difficulty.logistic import WINDOW, LogisticDifficulty, auc
from tests.contract.predictor import PredictorContract


def asked(question: str, **changes: object) -> Subject:
    facts = RequestFacts(8 + len(question) // 4, 1, "other", cacheable=True, semantic=True)
    request = Request("r", "small", ({"role": "user", "content": question},))
    return replace(Subject(request, facts), **changes)  # type: ignore[arg-type]


def difficulty(predictor: LogisticDifficulty, question: str) -> Difficulty:
    found = predictor.predict(asked(question)).difficulty
    assert found is not None
    return found


def teach(predictor: LogisticDifficulty, question: str, *, escalated: bool | None, times: int = 1) -> None:
    for _ in range(times):
        subject = asked(question)
        told = replace(subject, facts=predictor.predict(subject))
        predictor.learn(Outcome(told, escalated=escalated))


class TestLogisticDifficulty(PredictorContract):
    @pytest.fixture
    def make_predictor(self) -> Callable[[], LogisticDifficulty]:
        return LogisticDifficulty


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("Name the capital of France.", "Reverse the letters of the word thunder."),
        ("Read the text: it rains.", "Prove it step by step."),
        ("It rains.", "Translate it."),
        ("Name the cat.", "Name the cat, the dog, the cow, the hen and the pig."),
        ("It is a cat.", "It must be a cat."),
    ],
)
def test_the_rule_of_thumb_knows_what_is_harder(easier: str, harder: str) -> None:
    cold = LogisticDifficulty()
    assert difficulty(cold, easier).score < difficulty(cold, harder).score
    assert difficulty(cold, harder).confidence == 0.0


def test_it_learns_what_its_engine_fails_at() -> None:
    predictor = LogisticDifficulty()
    before = difficulty(predictor, "Name the capital of Peru.").score
    teach(predictor, "Name the capital of Chile.", escalated=True, times=30)
    teach(predictor, "What is 12 + 30?", escalated=False, times=30)
    assert difficulty(predictor, "Name the capital of Peru.").score > max(0.6, before)
    assert difficulty(predictor, "What is 17 + 41?").score < 0.4
    assert difficulty(predictor, "Name the capital of Peru.").confidence == pytest.approx(60 / 110)


def test_nothing_is_learned_where_nobody_tried() -> None:
    predictor = LogisticDifficulty()
    before = predictor.snapshot()
    teach(predictor, "What is 12 + 30?", escalated=None, times=5)
    assert predictor.snapshot() == before


def test_the_evidence_is_the_heaviest_first() -> None:
    found = difficulty(LogisticDifficulty(), "Spell the word garden backwards.")
    assert found.evidence[0] == "letters"
    assert len(found.evidence) <= 3
    assert set(found.evidence) <= set(NAMES)


def test_the_report_is_about_what_was_said_before_learning() -> None:
    predictor = LogisticDifficulty()
    assert predictor.report()[0]["brier"] is None
    subject = asked("What is 2 + 2?")
    facts = replace(subject.facts, difficulty=Difficulty(0.25))
    predictor.learn(Outcome(replace(subject, facts=facts), escalated=True))
    (row,) = predictor.report()
    assert row["n"] == 1
    assert row["brier"] == pytest.approx(0.5625)
    assert row["auc"] is None
    teach(predictor, "Hello!", escalated=False, times=2 * WINDOW)
    assert len(predictor.snapshot()["seen"]) == WINDOW


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], None),
        ([(0.2, False)], None),
        ([(0.2, False), (0.7, True)], 1.0),
        ([(0.2, True), (0.7, False)], 0.0),
        ([(0.5, True), (0.5, False)], 0.5),
        ([(0.1, False), (0.5, True), (0.5, False), (0.9, True)], 0.875),
    ],
)
def test_auc(seen: list[tuple[float, bool]], expected: float | None) -> None:
    assert auc(seen) == expected
