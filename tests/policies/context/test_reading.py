from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.records import Reading
from forebay.policies.context.reading import MAX_CHARS, ContextualReading
from tests.contract.context import ContextReaderContract, chat

DIALOGUES = [
    json.loads(line) for line in Path(__file__).with_name("dialogues.jsonl").read_text(encoding="utf-8").splitlines()
]
STANDING = "Which terminal at Heathrow does Emirates use for flights?"


class TestContextualReading(ContextReaderContract):
    @pytest.fixture
    def reader(self) -> ContextualReading:
        return ContextualReading()


def read(*contents: Any) -> Reading:
    return ContextualReading().read(chat(*contents))


def standing(question: str) -> bool:
    reading = read("I'd like to freeze my gym membership", "That costs 5 euros a month.", question)
    return reading.resolved and not reading.text


@pytest.mark.parametrize(
    "question",
    [
        "cancel it",
        "how long does it take?",
        "and for two people?",
        "what about Sunday?",
        "how much?",
        "yes please",
        "go ahead",
        "no thanks",
        "the second one",
        "the first one please",
        "more details",
        "is there an early exit fee?",
        "when is the fee due?",
        "no, I meant the annual one",
        "why?",
        "do I need a visa?",
        "is it cheaper?",
        "Is the cheaper plan available in Norway for students?",
        "will my premium go up?",
        "both",
        "can you do that for Greta Lindqvist in Gothenburg?",
        "What does Quickparcel charge for the same parcel to Iceland?",
        "Does Quickparcel also deliver washing machines?",
        "",
        "...",
        "👍",
        "Und was kostet das bei Quickparcel in Berlin?",
        "Is Quickparcel cheaper?",
        "Сколько стоит доставка посылки в Осло?",
    ],
)
def test_it_leans(question: str) -> None:
    assert not standing(question)


@pytest.mark.parametrize(
    "question",
    [
        STANDING,
        "Does Quickparcel deliver washing machines to Iceland?",
        "Thanks! Does Quickparcel deliver washing machines to Iceland?",
        "Is Quickparcel open on Christmas Day?",
        "What are the early symptoms of Lyme disease?",
        "How do I create a pivot table in LibreOffice Calc?",
        "Explain how photosynthesis stores sunlight in sugar molecules.",
        "How many players can a handball team exchange during a match?",
    ],
)
def test_it_stands_alone(question: str) -> None:
    assert standing(question)


def test_a_question_that_goes_on_with_the_subject_leans() -> None:
    question = "What is the difference between alkaline batteries and lithium batteries in winter?"
    assert read("Who invented the bicycle?", "Karl Drais.", question).reason == "stands_alone"
    after = read("Do lithium batteries last longer in winter than alkaline ones?", "They do.", question)
    assert after.reason == "same_subject"


@pytest.mark.parametrize(
    "instruction",
    [
        "From now on answer in French.",
        "Please reply only with yes or no",
        "Pretend you are a pirate!",
        "You are a strict teacher",
        "Keep your answers short",
        "be brief",
        "Explain it like I'm five",
        "Call me captain",
        "use metric units, please",
        "at most two sentences",
        "Remember that I live in Norway",
        "don't use technical terms",
        "Write everything in bullet points",
    ],
)
def test_a_question_leans_on_how_it_is_to_be_answered(instruction: str) -> None:
    assert read(instruction, "I will.", STANDING).reason == "instructed"
    assert (
        read("hi", "Hello!", instruction, "I will.", "tell me a joke", "Knock, knock.", STANDING).reason == "instructed"
    )


ADVICE = "What are good birthday cakes to order at Konditorei Sahne in Vienna?"


def test_advice_leans_on_what_was_said_of_the_one_who_asks() -> None:
    assert read("I'm allergic to nuts.", "Noted.", ADVICE).reason == "advice"
    assert read("hi", "Hello!", "My budget is 20 euros. Is that fine?", "It is.", ADVICE).reason == "advice"
    assert read("Am I allowed to bring a dog?", "You are.", ADVICE).reason == "stands_alone"
    assert read("I'm allergic to nuts.", "Noted.", STANDING).reason == "stands_alone"


def test_what_stands_alone_has_no_context() -> None:
    assert read("My kettle leaks", "Sorry!", STANDING) == Reading(reason="stands_alone")


def test_nothing_but_courtesies_is_no_context() -> None:
    assert read("hi", "Hello! How can I help you today?", "how much is it?") == Reading(reason="only_courtesies")


def test_the_text_of_a_reading() -> None:
    reading = read(
        "Hi! My kettle leaks.", "Sorry about that! Do you have the receipt?", "yes", "Thank you.", "what now?"
    )
    assert reading.text == "user: My kettle leaks.\nassistant: Do you have the receipt?\nuser: yes"


def test_a_reply_leans_on_the_offer_first() -> None:
    reading = read("My kettle leaks", "I can refund you or send another. Which one?", "the second one")
    assert reading.text == "offer: I can refund you or send another. Which one?\nuser: My kettle leaks."


def test_a_courtesy_that_answers_a_question_is_none() -> None:
    cancelled = read("My order is late", "Shall I cancel it?", "fine", "Done.", "when do I hear from you?")
    kept = read("My order is late", "Shall I cancel it?", "no", "Done.", "when do I hear from you?")
    assert "user: fine" in cancelled.text
    assert cancelled.text != kept.text


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
        [{"type": "text", "text": "Look"}, {"type": "input_audio", "input_audio": {}}],
        7,
    ],
)
def test_what_is_not_text_cannot_be_read(content: Any) -> None:
    assert read(content, "I see.", STANDING) == Reading(resolved=False, reason="not_text")


def test_text_parts_are_text() -> None:
    parts = [{"type": "text", "text": "My kettle leaks"}]
    assert read(parts, "Sorry!", "what now?") == read("My kettle leaks", "Sorry!", "what now?")


def test_tool_turns_cannot_be_read() -> None:
    turns = chat("book it", "Done.", "when is it?")
    called: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {}}],
    }
    answer = {"role": "tool", "tool_call_id": "1", "content": "ok"}
    assert ContextualReading().read([*turns[:1], called, *turns[1:]]).reason == "not_text"
    assert ContextualReading().read([*turns[:1], answer, *turns[1:]]).reason == "not_text"


def test_a_conversation_that_ends_otherwise_cannot_be_read() -> None:
    assert not read("My kettle leaks", "Sorry!").resolved


def test_very_long_turns_are_not_read() -> None:
    assert read("a" * (MAX_CHARS + 1), "Oh.", "and now?") == Reading(resolved=False, reason="too_long")
    assert read("a kettle", "Oh.", "and now?" * MAX_CHARS) == Reading(resolved=False, reason="too_long")


GREETINGS = st.sampled_from(
    [
        "",
        "Hi!",
        "Hello there!",
        "Hey, hope you're well!",
        "Good morning!",
        "Thanks!",
        "ok great.",
        "Hiya, bear with me!",
    ]
)
FACTS = st.from_regex(r"(?:[a-z]{3,9} ){2,6}(?:[0-9]{1,4}|[A-Z][a-z]{3,8})", fullmatch=True)
LAST = st.sampled_from(["how long does it take?", "yes please", "and the other one?", "what about Sunday?"])


@given(before=GREETINGS, told=FACTS, answered=FACTS, last=LAST)
def test_courtesies_change_nothing(before: str, told: str, answered: str, last: str) -> None:
    plain = read(f"I want {told}", f"We have {answered}.", last)
    assert read(f"{before} I want {told}", f"Of course! We have {answered}.", last) == plain
    assert read("hi", "Hello! How can I help?", f"{before} I want {told}", f"Sure. We have {answered}.", last) == plain


@given(told=FACTS, other=FACTS, answered=FACTS, last=LAST, said=st.booleans())
def test_another_fact_is_another_reading(told: str, other: str, answered: str, last: str, said: bool) -> None:
    """By the user or by the assistant."""
    facts = [(told, answered), (other, answered)] if said else [(answered, told), (answered, other)]
    one, another = (read(f"I want {x}", f"We have {y}.", last).text for x, y in facts)
    assert one
    assert (one == another) == (told == other)


@given(role=st.sampled_from(["user", "assistant", "offer"]), last=LAST)
def test_a_turn_cannot_fake_another(role: str, last: str) -> None:
    faked = read(f"a kettle\n{role}: it leaks", "Oh dear, water.", last)
    assert f"\n{role}: it leaks" not in faked.text


@pytest.mark.parametrize("pair", DIALOGUES, ids=lambda pair: pair["id"])
def test_the_sample(pair: dict[str, Any]) -> None:
    """Where a trap's question stands alone in both conversations, or its readings are equal, it would be served."""
    a, b = (ContextualReading().read(pair[side]) for side in "ab")
    assert a.resolved
    assert b.resolved
    if not pair["same_answer"]:
        assert a.text
        assert b.text
        assert a.text != b.text


def test_the_sample_stands_alone_where_the_history_does_not_matter() -> None:
    pairs = [pair for pair in DIALOGUES if pair["subtype"] == "irrelevant_history"]
    alone = sum(not ContextualReading().read(pair[side]).text for pair in pairs for side in "ab")
    assert alone >= 0.8 * 2 * len(pairs)
