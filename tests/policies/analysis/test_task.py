from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.analysis.task import TASKS, task_of


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Translate 'good morning' to French", "translate"),
        ("How do you say cat in Spanish?", "translate"),
        ("Summarize this article in three sentences: …", "summarise"),
        ("Give me a summary of Hamlet", "summarise"),
        ("Classify this review as positive or negative: …", "classify"),
        ("What is the sentiment of this sentence?", "classify"),
        ("Extract all phone numbers from the text below", "extract"),
        ("Write a Python function that reverses a list", "code"),
        ("How do I sort a list in Rust?", "code"),
        ("Why does this fail?\n```\nx = 1\n```", "code"),
        ("What is 12 * 7?", "math"),
        ("Solve for x: 2x = 10", "math"),
        ("What is 12% of 250?", "math"),
        ("What is the capital of France?", "question"),
        ("please tell me who wrote Hamlet", "question"),
        ("The capital of France is?", "question"),
        ("hello there", "chat"),
        ("Thanks, that helped", "chat"),
        ("Write a poem about spring", "other"),
        ("", "other"),
    ],
)
def test_task(text: str, task: str) -> None:
    assert task_of(text) == task


@pytest.mark.parametrize("unit", ["write ", "1 - ", "how do you say ", "please ", "a\n", "`", " "])
def test_long_texts_are_quick(unit: str) -> None:
    began = time.process_time()
    task_of(unit * 100_000)
    assert time.process_time() - began < 0.5


ALTERNATIVES = (
    "translates translating translation; how do you say it in it; summarising summary of; tl;dr tldr; key points; "
    "classifies classification; categorise; sentiment; which label; extract; pull out; list all the dates; "
    "named entities; ```; stacktrace; stack trace; traceback; regex; sql; refactor; debug; unit tests; source code; "
    "explain the query; write a program; create an algorithm; fix the class; implement the method; write a script; "
    "in javascript; in c++; in c#; in golang; in php; in kotlin; in swift; in bash; in ruby; in typescript; 1+2; "
    "3 - 4; 5 % of; compute; integral; derivative; equation; square root; solve for; prove that; probability of; "
    "who is; hello; ok; nothing in particular"
).split("; ")


@given(st.lists(st.sampled_from(ALTERNATIVES) | st.text(max_size=5), max_size=4), st.booleans())
def test_no_rule_is_left_out_that_would_match(parts: list[str], shout: bool) -> None:
    text = " ".join(parts).upper() if shout else " ".join(parts)
    expected = next((rule.label for rule in TASKS.rules if rule.pattern.search(text.strip().lower())), "other")
    assert task_of(text) == expected
