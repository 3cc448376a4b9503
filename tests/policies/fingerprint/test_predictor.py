from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import Fingerprint, RequestFacts, Subject
from forebay.middleware.analysis.protocols import Predictor
from forebay.middleware.records import Request
from forebay.policies.fingerprint.predictor import FingerprintPredictor
from tests.contract.predictor import PredictorContract
from tests.policies.fingerprint.stream import agreement, request, sentences, stream

FACTS = RequestFacts(input_tokens=10, turns=1, task="question", cacheable=True, semantic=True)
FILLINGS = sentences(1, 600)
FREE = sentences(2, 800)
LONG = " ".join(FREE[:40])


class TestFingerprintPredictor(PredictorContract):
    @pytest.fixture
    def make_predictor(self) -> Callable[[], Predictor]:
        return lambda: FingerprintPredictor(b"seed")


def fingerprint(predictor: FingerprintPredictor, asked: Request) -> Fingerprint:
    found = predictor.predict(Subject(asked, FACTS)).fingerprint
    assert found is not None
    return found


def names_of(predictor: FingerprintPredictor, texts: Sequence[str], system: str = "", **changes: Any) -> list[str]:
    asked = [request(at, system, text) for at, text in enumerate(texts)]
    return [
        fingerprint(
            predictor, Request(each.id, changes.get("model", "small"), each.messages, **_tenant(changes))
        ).template
        for each in asked
    ]


def _tenant(changes: dict[str, Any]) -> dict[str, Any]:
    return {"tenant": changes["tenant"]} if "tenant" in changes else {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_names_fit_the_templates_of_a_stream(seed: int) -> None:
    predictor = FingerprintPredictor()
    asked = stream(seed, FILLINGS, FREE, count=1_200)
    names = [fingerprint(predictor, each.request).template for each in asked]
    seen: dict[int, int] = {}
    known: list[tuple[int, str]] = []
    for each, name in zip(asked, names, strict=True):
        seen[each.label] = seen.get(each.label, 0) + 1
        if each.label >= 0 and seen[each.label] > 5:
            known.append((each.label, name))
    homogeneity, completeness, _ = agreement(*zip(*known, strict=True))
    assert homogeneity > 0.98
    assert completeness > 0.95
    free = [name for each, name in zip(asked, names, strict=True) if each.label < 0]
    assert len(free) > 400
    assert sum(map(bool, free)) / len(free) < 0.02
    (row,) = predictor.report()
    assert row["named_again"] > 0.85


def test_a_template_has_its_name_from_the_third_prompt_on() -> None:
    names = names_of(FingerprintPredictor(), [f"Translate this sentence into French: {each}" for each in FILLINGS[:30]])
    assert names[:2] == ["", ""]
    assert names[2]
    assert len(set(names[2:])) == 1


def test_the_share_of_constant_words_is_told() -> None:
    predictor = FingerprintPredictor()
    texts = [f"Say in one word what this is about: {name} {name} {name}" for name in string.ascii_lowercase]
    found = [fingerprint(predictor, request(at, "", text)) for at, text in enumerate(texts)]
    assert found[-1].constant == pytest.approx(8 / 11)


def test_a_repeated_prompt_is_no_template() -> None:
    assert set(names_of(FingerprintPredictor(), ["How do I reset the password of my account?"] * 20)) == {""}


def test_dates_and_numbers_do_not_hide_what_is_constant() -> None:
    texts = [f"It is 2026-03-{at:02} now. The customer {70_000 + at} says: {FILLINGS[at]}" for at in range(10, 30)]
    names = names_of(FingerprintPredictor(), texts)
    assert len(set(names[2:])) == 1
    assert names[-1]


def test_ideographs_are_words() -> None:
    slots = ["猫在睡觉", "火车晚点了", "我喜欢喝茶", "明天会下雨", "她在学钢琴", "价格太高了"]
    names = names_of(FingerprintPredictor(), [f"请把下面的句子翻译成法语:{slot}" for slot in slots])
    assert names[-1]
    # of a constant part of more than eight words a part is known before all of it
    assert len(set(names[3:])) == 1


def test_systems_tenants_and_models_are_apart() -> None:
    predictor = FingerprintPredictor()
    texts = [f"Summarise in one sentence: {each}" for each in FILLINGS[:8]]
    ways = [
        names_of(predictor, texts),
        names_of(predictor, texts, system="You are the assistant of a library, friendly and brief."),
        names_of(predictor, texts, tenant="another"),
        names_of(predictor, texts, model="large"),
    ]
    assert all(names[:2] == ["", ""] for names in ways)
    assert len({names[-1] for names in ways}) == 4


def test_what_was_learned_survives_a_restart() -> None:
    texts = [f"Summarise in one sentence: {each}" for each in FILLINGS[:8]]
    predictor, fresh = FingerprintPredictor(b"seed"), FingerprintPredictor(b"seed")
    before = names_of(predictor, texts)[-1]
    fresh.restore(json.loads(json.dumps(predictor.snapshot())))
    assert names_of(fresh, ["Summarise in one sentence: all is well again"]) == [before]


def test_embeddings_have_no_fingerprint() -> None:
    asked = Request("r", "small", [{"role": "user", "content": LONG}], endpoint="embeddings")
    assert FingerprintPredictor().predict(Subject(asked, FACTS)).fingerprint is None


def chain(*messages: tuple[str, str], seed: bytes = b"", **changes: Any) -> tuple[int, ...]:
    fields = [{"role": role, "content": content} for role, content in messages]
    return fingerprint(
        FingerprintPredictor(seed), Request("r", changes.pop("model", "small"), fields, **changes)
    ).prefix


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def test_a_longer_conversation_begins_as_the_shorter_one() -> None:
    first = chain(("system", LONG), ("user", "Why?"))
    longer = chain(("system", LONG), ("user", "Why?"), ("assistant", LONG), ("user", "And then?"))
    assert len(first) >= 8
    assert len(longer) > len(first)
    assert longer[: len(first)] == first


@settings(max_examples=30)
@given(at=st.integers(0, 3_000))
def test_prompts_share_the_blocks_in_front_of_their_first_difference(at: int) -> None:
    text = ("0123456789abcdef" * 200)[:3_000]
    other = text[:at] + "!" + text[at + 1 :]
    before = len("\x1euser\x1f")
    one, two = chain(("user", text)), chain(("user", other))
    assert shared(one, two) == min(len(one), (before + at) // 256)


def test_chains_agree_across_tenants_and_differ_by_model_tools_and_seed() -> None:
    asked = ("user", LONG)
    plain = chain(asked)
    assert chain(asked, tenant="another") == plain
    tools = {"tools": [{"type": "function", "function": {"name": "a"}}]}
    for other in (chain(asked, model="large"), chain(asked, params=tools), chain(asked, seed=b"another")):
        assert not shared(plain, other)


def test_a_chain_has_a_longest_length() -> None:
    assert len(chain(("user", "x" * 200_000))) == 512


def test_a_short_prompt_has_none() -> None:
    assert chain(("user", "Why?")) == ()
