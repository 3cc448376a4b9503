from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.acceptance.context import LEAST_SIMILARITY, MAX_SENTENCES, context_conflict
from forebay.policies.context.reading import ContextualReading

SAMPLE = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "context" / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
]
LINES = st.sampled_from(
    [
        "user: I want to cancel my Basic plan on Monday.",
        "user: I want to keep my Basic plan until Friday.",
        "user: how long does it take?",
        "user: yes",
        "user: no",
        "assistant: It costs 5 euros a month. Shall I cancel it?",
        "assistant: It costs 7 euros a month. Shall I freeze it?",
        "assistant: Ja, das ist möglich.",
        "offer: Shall I book it for 9am?",
        "offer: I can cancel it, or move it. Which one?",
        "user: Сколько это стоит?",
        "nobody: nothing",
        "user: ",
        "",
    ]
)
READINGS = st.lists(LINES, max_size=5).map("\n".join) | st.text(st.characters(), max_size=60)


def conflict(a: str, b: str, similarity: float = 0.95) -> str | None:
    found = context_conflict(a, b, similarity)
    assert context_conflict(b, a, similarity) == found
    return found


@given(READINGS, READINGS, st.floats())
def test_it_is_symmetric_and_total(a: str, b: str, similarity: float) -> None:
    assert context_conflict(a, b, similarity) == context_conflict(b, a, similarity)


@given(READINGS, st.floats())
def test_a_reading_does_not_conflict_with_itself(reading: str, similarity: float) -> None:
    assert context_conflict(reading, reading, similarity) is None


@pytest.mark.parametrize("similarity", [math.nan, LEAST_SIMILARITY - 1e-6, -1.0])
def test_far_readings_conflict(similarity: float) -> None:
    assert conflict("user: My kettle leaks.", "user: my kettle leaks.", similarity) == "context_far"


def test_near_readings_that_say_the_same_agree() -> None:
    assert conflict("user: My kettle leaks.", "user: my kettle leaks", LEAST_SIMILARITY) is None


def test_very_long_readings_are_not_compared() -> None:
    long = "user: " + "My kettle leaks. " * (MAX_SENTENCES - 1)
    assert conflict(f"{long}It leaks. It is blue.", f"{long}It leaks. It is blue, too.") == "context_long"
    assert conflict(f"{long}It leaks!", f"{long}it leaks!") is None


@pytest.mark.parametrize(
    ("a", "b", "label"),
    [
        ("user: Сколько стоит чайник?", "user: Сколько стоит утюг?", "context_script"),
        ("offer: Shall I cancel it?\nuser: my order", "offer: Shall I move it?\nuser: my order", "context_offer"),
        ("offer: A seat, or a bed.\nuser: a train", "offer: A bed, or a seat.\nuser: a train", "context_offer"),
        ("offer: It is 9 euros.\nuser: a train", "offer: It is 19 euros.\nuser: a train", "context_offer"),
        ("offer: It is 9 euros.\nuser: a train", "user: a train\nassistant: It is 9 euros.", "context_offer"),
        ("user: My kettle leaks.", "user: I want a mortgage.", "context_opening"),
        ("user: my flight is on Monday.", "user: my flight is on Friday.", "context_fact"),
        ("user: my son is 4 years old.", "user: my son is 9 years old.", "context_fact"),
        (
            "user: a flight to Spain in March for my family.",
            "user: In March a family flight to Florida.",
            "context_fact",
        ),
        ("user: the tracker is turned on.", "user: the tracker is turned off.", "context_detail"),
        ("user: My guest is vegan, any dessert?", "user: My guest is diabetic, any dessert?", "context_detail"),
        (
            "user: my rent.\nassistant: Is your contract fixed?\nuser: yes",
            "user: my rent.\nassistant: Is your contract fixed?\nuser: no",
            "context_detail",
        ),
        ("user: a cake for tea.", "user: a cake for tea. I'm allergic.", "context_subject"),
        (
            "user: my cat coughs.\nassistant: It may be asthma.",
            "user: my cat coughs.\nassistant: It may be worms.",
            "context_answer",
        ),
        (
            "user: my rent.\nassistant: Notice is one month.",
            "user: my rent.\nassistant: Notice is three months.",
            "context_answer",
        ),
    ],
)
def test_conflicts(a: str, b: str, label: str) -> None:
    assert conflict(a, b) == label


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (
            "user: I paid twice for my Oslo ticket.\nassistant: I see both payments of 30 euros.",
            "user: My Oslo ticket was paid twice.\nassistant: There are both payments, 30 euros each.",
        ),
        ("user: my cat coughs.", "user: Long day, ugh. my cat coughs."),
        ("user: my cat coughs.", "user: my cat coughs.\nassistant: Poor cat.\nuser: do you have a branch in Leeds?"),
        ("user: a table for two in the Old Mill.", "user: a table in the Old Mill for 2."),
    ],
)
def test_agreements(a: str, b: str) -> None:
    assert conflict(a, b) is None


@pytest.mark.parametrize("pair", [pair for pair in SAMPLE if not pair["same_answer"]], ids=lambda pair: pair["id"])
def test_no_trap_of_the_sample_is_served_however_near(pair: dict[str, list[dict[str, str]]]) -> None:
    a, b = (ContextualReading().read(pair[side]).text for side in "ab")
    assert conflict(a, b, 1.0) is not None


def test_most_of_the_sample_that_may_be_served_is() -> None:
    pairs = [pair for pair in SAMPLE if pair["same_answer"]]
    readings = [[ContextualReading().read(pair[side]).text for side in "ab"] for pair in pairs]
    served = sum(a == b or (bool(a and b) and conflict(a, b, 0.95) is None) for a, b in readings)
    assert served >= 0.75 * len(pairs)
