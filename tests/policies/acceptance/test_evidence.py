"""Which pairs of questions conflict, and which do not."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.policies.acceptance.evidence import RULES, conflict_of

CONFLICTS = {
    "script_conflict": [
        ("法国的首都是什么", "德国的首都是什么"),
        ("Можно ли это есть?", "Нельзя ли это есть?"),
    ],
    "number_conflict": [
        ("What is the boiling point of water at 100 kPa?", "What is the boiling point of water at 50 kPa?"),
        ("What is 5+3?", "What is 5-3?"),
        ("How long do I boil 3 eggs?", "How long do I boil eggs?"),
        ("Is 5 km far?", "Is 5 miles far?"),
        ("Wake me at 6 am", "Wake me at 6 pm"),
        ("What does error 0.5 mean?", "What does error 0.05 mean?"),
        ("Who was the third king of Rome?", "Who was the fourth king of Rome?"),
        ("Is the museum open on Monday?", "Is the museum open on Tuesday?"),
        ("How did the First World War end?", "How did World War II end?"),
        ("what changed in python 3.10", "what changed in python 3.11"),
        ("a dose of one tablet", "a dose of two tablets"),
    ],
    "negation_conflict": [
        ("Is it safe to mix bleach and vinegar?", "Is it not safe to mix bleach and vinegar?"),
        ("Which countries are in the EU?", "Which countries are not in the EU?"),
        ("Can I leave with paying?", "Can I leave without paying?"),
        ("Which pills can I take?", "Which pills can\u2019t I take?"),
        ("Is the ticket transferable?", "Is the ticket non-transferable?"),
    ],
    "antonym_conflict": [
        ("How do I enable dark mode?", "How do I disable dark mode?"),
        ("How do I turn on dark mode?", "How do I turn off dark mode?"),
        ("Is it safe to mix bleach and vinegar?", "Is it unsafe to mix bleach and vinegar?"),
        ("Should I stretch before running?", "Should I stretch after running?"),
        ("Why do prices increase?", "Why are prices decreasing?"),
        ("How do I upgrade the plan?", "How do I downgrade the plan?"),
        ("What is hypoglycemia?", "What is hyperglycemia?"),
        ("How do I encode a string?", "How do I decode a string?"),
        ("When do I check in?", "When do I check out?"),
        ("Is that legal?", "Is that illegal?"),
    ],
    "entity_conflict": [
        ("What is the capital of France?", "What is the capital of Germany?"),
        ("Does it run on Linux?", "Does it run on FreeBSD?"),
        ("What does `os.rename` do?", "What does `os.replace` do?"),
        ('Who said "I am tired"?', 'Who said "we are late"?'),
    ],
    "order_conflict": [
        ("convert USD to EUR", "convert EUR to USD"),
        ("convert usd to eur", "convert eur to usd"),
        ("Is Python faster than Java?", "Is Java faster than Python?"),
        ("How far is it from Oslo to Bergen?", "How far is it from Bergen to Oslo?"),
        ("Does Google own YouTube?", "Does YouTube own Google?"),
        ("How many grams are in an ounce?", "How many ounces are in a gram?"),
        ("lions vs tigers, who wins", "tigers vs lions, who wins"),
        ("How do I move files from Dropbox to my phone?", "From my phone, how do I move files to Dropbox?"),
    ],
    "substitution": [
        ("what is the capital of france", "what is the capital of germany"),
        ("what is the capital of france", "germany's capital is what"),
        ("how do i paint a fence", "how do i paint a garden wall"),
        ("When was Ada Lovelace born?", "Where was Ada Lovelace born?"),
        ("What's my name?", "What's your name?"),
        ("Does he love her?", "Does she love him?"),
        ("Is the Earth flat?", "Why is the Earth flat?"),
    ],
    "addition": [
        ("What are the symptoms of measles?", "What are the symptoms of measles in toddlers?"),
        ("How do I register a birth?", "How do I register a birth in Scotland?"),
        ("What does the insurance cover?", "What does the travel insurance cover?"),
    ],
}

PARAPHRASES = [
    ("What is the capital of France?", "What's France's capital city?"),
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("what is the capital of france", "What is the capital of France?"),
    ("Which countries are in the EU?", "Which countries are in the European Union?"),
    ("Who was president of the US?", "Who was president of the United States?"),
    ("How do I enable dark mode?", "How can I turn on dark mode?"),
    ("How do I reset my password?", "What is the best way to reset my password?"),
    ("How do I reset my password?", "hi, how do i reset my password please"),
    ("HOW DO I RESET MY PASSWORD", "How do I reset my password?"),
    ("Explain how photosynthesis works", "How does photosynthesis work?"),
    ("What is 12% of 250?", "What is twelve percent of 250?"),
    ("Summarise the plot of Hamlet", "Summarize the plot of Hamlet"),
    ("List three fruits", "List 3 fruits"),
    ("Is 1,000 m far?", "Is 1000 metres far?"),
    ("How tall is Mount Everest?", "What is the height of Mount Everest?"),
    ("For a late parcel, how do I claim?", "How do I claim for a late parcel?"),
    ("Why is the sky blue?", "What makes the sky blue?"),
    ("What is the capital city of Japan?", "Capital of Japan?"),
    ("Could you tell me when it opens?", "When does it open?"),
    ("How do salt and sugar dissolve?", "How do sugar and salt dissolve?"),
    ("Is the shop open on Sunday?", "Is the store open on Sundays?"),
    ("Can I eat one egg a day?", "Can I eat an egg a day?"),
    ("How far is it from Oslo to Bergen?", "From Oslo to Bergen, how far is it?"),
]

TEXTS = st.text(st.characters(), max_size=120)
WORDS = st.lists(
    st.sampled_from(
        'how do I not enable disable France france EU European Union 5 five kg 50% Monday "x y" a.b from to USD EUR than '
        "is 法国 - + can't my your safe unsafe ? . \n".split(" ")
    ),
    max_size=14,
).map(" ".join)


@pytest.mark.parametrize(
    ("label", "left", "right"), [(label, *pair) for label, pairs in CONFLICTS.items() for pair in pairs]
)
def test_conflicts(label: str, left: str, right: str) -> None:
    assert conflict_of(left, right) == label
    assert conflict_of(right, left) == label


def test_every_rule_has_examples() -> None:
    assert list(CONFLICTS) == [label for label, _ in RULES]


@pytest.mark.parametrize(("left", "right"), PARAPHRASES)
def test_paraphrases_are_let_through(left: str, right: str) -> None:
    assert conflict_of(left, right) is None


@given(left=TEXTS | WORDS, right=TEXTS | WORDS)
def test_evidence_is_symmetric(left: str, right: str) -> None:
    assert conflict_of(left, right) == conflict_of(right, left)


@given(TEXTS | WORDS)
@example("\"!!!\" `?` '…'")
@example("USD to EUR to USD from EUR")
def test_a_text_never_conflicts_with_itself(text: str) -> None:
    assert conflict_of(text, text) is None
    assert conflict_of(text, f"  {text}\n") is None


@pytest.mark.parametrize(
    "unit", ["word ", "a b ", "5 ", "'", '"', "`", "a.", "a_", "-", "not ", "法", "from to ", "X "]
)
def test_long_texts_are_quick(unit: str) -> None:
    began = time.process_time()
    conflict_of(unit * 10_000, unit * 9_999 + "end")
    assert time.process_time() - began < 2.0
