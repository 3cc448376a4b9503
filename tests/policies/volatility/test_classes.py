from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import Staleness, Volatility
from forebay.middleware.records import Request
from forebay.policies.volatility.classes import LOOKED_AT, VolatilityClassifier, staleness_of, ungated
from forebay.policies.volatility.cues import CUES
from tests.contract.classifier import FACTS, ClassifierContract


def labelled(half: str) -> list[tuple[str, Volatility]]:
    lines = (Path(__file__).parent / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["text"], Volatility(row["volatility"])) for row in map(json.loads, lines)]


DEV, HELD_OUT = labelled("dev"), labelled("held_out")
ALL = [text for text, _ in DEV + HELD_OUT]


def ask(question: str, **changes: object) -> Request:
    request = Request("r", "small", ({"role": "user", "content": question},))
    return replace(request, **changes)  # type: ignore[arg-type]


class TestVolatilityClassifier(ClassifierContract):
    @pytest.fixture
    def classifier(self) -> VolatilityClassifier:
        return VolatilityClassifier()


def test_there_are_enough_labelled_questions_of_each_kind() -> None:
    assert len(set(ALL)) == len(ALL) >= 300
    assert min(Counter(kind for _, kind in DEV + HELD_OUT)[kind] for kind in Volatility) >= 50
    assert len(HELD_OUT) >= len(DEV)


@pytest.mark.parametrize(("half", "least"), [(DEV, 0.97), (HELD_OUT, 0.9)], ids=["dev", "held_out"])
def test_most_are_called_what_they_are(half: list[tuple[str, Volatility]], least: float) -> None:
    right = sum(staleness_of(text).volatility is kind for text, kind in half)
    assert right / len(half) >= least


def test_what_changes_within_minutes_is_seldom_called_lasting() -> None:
    lasting = (Volatility.TIMELESS, Volatility.SLOW)
    live = [text for text, kind in DEV + HELD_OUT if kind is Volatility.LIVE]
    assert sum(staleness_of(text).volatility in lasting for text in live) / len(live) <= 0.03


@pytest.mark.parametrize(
    ("question", "volatility", "reason"),
    [
        ("How do I reset my password?", "timeless", "how_to"),
        ("Why was my card declined?", "timeless", "how_to"),
        ("My card was declined.", "timeless", "default"),
        ("What is my balance?", "personal", "own_affairs"),
        ("Where is my order 1234?", "personal", "own_affairs"),
        ("What did I ask you before?", "personal", "memory"),
        ("Remind me to call mum at six.", "personal", "act_for_me"),
        ("Who is the CEO of Nintendo?", "slow", "office"),
        ("Who was the CEO of Nintendo in 2001?", "timeless", "past"),
        ("What is the EUR to USD rate?", "daily", "rates"),
        ("What is the price of Bitcoin?", "live", "market"),
        ("What is the price of a Tesla Model 3?", "slow", "price"),
        ("WHAT\u2019S THE WEATHER RIGHT NOW", "live", "right_now"),
        ("Thanks! That helped. And what is my balance?", "personal", "own_affairs"),
        ("Translate: what is my balance?", "timeless", "work_on_text"),
    ],
)
def test_what_decides(question: str, volatility: str, reason: str) -> None:
    assert staleness_of(question) == Staleness(Volatility(volatility), reason)


def assert_same(text: str) -> None:
    """Assert that gates change nothing, but that a timeless question may be so by default."""
    found, gated = ungated(text), staleness_of(text)
    assert (found.volatility if found else Volatility.TIMELESS) == gated.volatility
    assert gated.reason in ({found.reason} if found else set()) | (
        {"default"} if gated.volatility is Volatility.TIMELESS else set()
    )


@pytest.mark.parametrize("text", ALL)
def test_gates_only_save_time(text: str) -> None:
    assert_same(text)


@given(st.lists(st.sampled_from(ALL), min_size=2, max_size=4), st.sampled_from([" ", "\n", ", and "]))
def test_gates_only_save_time_in_longer_turns(texts: list[str], between: str) -> None:
    text = between.join(texts)
    assert_same(text)


def test_every_cue_has_a_reason_of_its_own_and_decides_a_labelled_question() -> None:
    reasons = [cue.reason for cue in CUES]
    assert len(set(reasons)) == len(reasons)
    assert {staleness_of(text).reason for text in ALL} >= set(reasons)


def test_the_ends_of_a_long_turn_are_read_and_its_middle_is_not() -> None:
    filler = "The river runs through the valley and past the old mill. " * 40
    question = "What is the price of bitcoin?"
    for text in (f"{question} {filler}", f"{filler}{question}"):
        assert staleness_of(text).volatility is Volatility.LIVE
    assert staleness_of(f"{filler}{question} {filler}").volatility is Volatility.TIMELESS
    assert len(filler) > 4 * LOOKED_AT


def test_the_last_user_turn_is_the_question() -> None:
    turns = (
        {"role": "user", "content": "What is my balance?"},
        {"role": "assistant", "content": "I cannot see it. What is the price of bitcoin?"},
        {"role": "user", "content": [{"type": "text", "text": "Who wrote Hamlet?"}, {"type": "image_url"}]},
    )
    facts = VolatilityClassifier().classify(ask("", messages=turns), FACTS)
    assert facts.staleness == Staleness(Volatility.TIMELESS, "default")


def test_an_embedding_is_timeless() -> None:
    facts = VolatilityClassifier().classify(ask("What time is it?", endpoint="embeddings"), FACTS)
    assert facts.staleness == Staleness(Volatility.TIMELESS, "embedding")
    assert facts.cacheable


def test_what_is_ones_own_is_not_given_to_a_similar_question() -> None:
    facts = VolatilityClassifier().classify(ask("What is my balance?"), FACTS)
    assert (facts.cacheable, facts.semantic, facts.reason) == (True, False, "personal")
    kept = replace(FACTS, semantic=False, reason="raw_input")
    assert VolatilityClassifier().classify(ask("What is my balance?"), kept).reason == "raw_input"


def test_what_was_refused_keeps_its_reason() -> None:
    refused = replace(FACTS, cacheable=False, semantic=False, reason="high_temperature")
    facts = VolatilityClassifier().classify(ask("What time is it?"), refused)
    assert facts.reason == "high_temperature"
    assert facts.staleness is not None


@pytest.mark.parametrize(
    "text",
    [
        "my " * 10_000,
        "is " * 10_000,
        "what is my " * 5_000,
        "?" * 50_000,
        "price of " * 5_000,
        "a" * 100_000,
        "i need to " * 9_999,
    ],
)
def test_hostile_questions_cost_little(text: str) -> None:
    started = time.process_time()
    staleness_of(text)
    assert time.process_time() - started < 0.1
