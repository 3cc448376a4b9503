from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import RequestFacts
from forebay.middleware.records import Request
from forebay.policies.analysis.basic import MAX_CHARS, BasicAnalyzer, estimate_tokens
from forebay.policies.analysis.gated import words_of
from forebay.policies.analysis.now import ABOUT_NOW
from forebay.policies.analysis.tokens import count_tokens
from tests.contract.analyzer import AnalyzerContract, chat

NOW = (
    "today tonight tomorrow yesterday now know nowadays currently latest newest recently forecast scoreboard; most recent; "
    "up to date; up-to-date; at the moment; these days; so far; breaking news; as of; any news; in the news; this week; "
    "next saturday; last night; past hour; coming season; what's the time in; what is the date?; what time is it; "
    "what year is it; weather in; the weather; forecast for; stock price; exchange rate; final score; live scores; "
    "traffic on; current president; present situation; this; week"
).split("; ")
QUESTION = "What is the capital of France?"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


class TestBasicAnalyzer(AnalyzerContract):
    @pytest.fixture
    def analyzer(self) -> BasicAnalyzer:
        return BasicAnalyzer()


def facts_of(*contents: Any, **params: Any) -> RequestFacts:
    return BasicAnalyzer().analyze(chat(*contents, **params))


def facts_of_messages(messages: Any) -> RequestFacts:
    return BasicAnalyzer().analyze(Request(id="r", model="small", messages=messages))


def test_a_plain_question() -> None:
    facts = facts_of(QUESTION, temperature=0.7)
    assert facts == RequestFacts(
        input_tokens=facts.input_tokens, turns=1, task="question", cacheable=True, semantic=True, reason="ok"
    )
    assert 8 <= facts.input_tokens <= 16


def test_system_messages_are_no_turns() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        *chat(QUESTION, "Paris.", "And of Italy?").messages,
    ]
    facts = facts_of_messages(messages)
    assert facts.turns == 3
    assert facts.reason == "ok"


@pytest.mark.parametrize(
    ("contents", "params", "reason"),
    [
        ([""], {}, "empty"),
        ([" \r\n "], {}, "empty"),
        ([None], {}, "empty"),
        ([list[Any]()], {}, "empty"),
        ([[{"type": "text", "text": " "}]], {}, "empty"),
        (["x" * (MAX_CHARS + 1)], {}, "too_large"),
        (["x" * (MAX_CHARS // 2), "y" * (MAX_CHARS // 2), QUESTION], {}, "too_large"),
        ([[{**IMAGE, "image_url": {"url": "x" * (MAX_CHARS + 1)}}]], {}, "too_large"),
        ([QUESTION], {"temperature": 1.2}, "high_temperature"),
        ([QUESTION], {"temperature": 2}, "high_temperature"),
        ([QUESTION], {"temperature": math.nan}, "invalid_params"),
        ([QUESTION], {"temperature": math.inf}, "invalid_params"),
        ([QUESTION], {"tools": [{1: 2}]}, "invalid_params"),
        ([QUESTION], {"seed": object()}, "invalid_params"),
        ([[{"type": "text", "text": QUESTION, "weight": math.nan}]], {}, "invalid_params"),
    ],
)
def test_what_is_not_kept(contents: list[Any], params: dict[str, Any], reason: str) -> None:
    facts = facts_of(*contents, **params)
    assert (facts.cacheable, facts.semantic, facts.reason) == (False, False, reason)


@pytest.mark.parametrize(
    "question",
    [
        "What's the weather in Paris today?",
        "Who is the current prime minister of Italy?",
        "what is the latest version of python",
        "Which films are on tonight?",
        "What time is it in Tokyo?",
        "What is the exchange rate of the yen?",
        "Is the shop open this Saturday?",
        "What happened in the news yesterday?",
        "Who is leading the league right now?",
        "What's the stock price of Acme?",
    ],
)
def test_questions_about_now(question: str) -> None:
    assert facts_of(question).reason == "volatile"
    assert facts_of("What is a forebay?", "A pool.", question).reason == "volatile"


@pytest.mark.parametrize(
    "question",
    [
        "What is electric current?",
        "Who knows how snow forms?",
        "How does datetime.now() work?",
        "What does the function NOW() return in SQL?",
        "Why do todays exist?",
        "What is the time complexity of quicksort?",
    ],
)
def test_questions_not_about_now(question: str) -> None:
    assert facts_of(question).reason == "ok"


def test_only_the_last_user_turn_can_be_about_now() -> None:
    assert facts_of("What's the weather today?", "I can't tell.", "What is rain?").reason == "ok"


@pytest.mark.parametrize(
    "messages",
    [
        None,
        5,
        "What is a forebay?",
        {"role": "user", "content": "x"},
        ["x"],
        [None],
        [{"content": "x"}],
        [{"role": 1, "content": "x"}],
        [{"role": "user", "content": 1}],
        [{"role": "user", "content": {"type": "text", "text": "x"}}],
        [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": True}],
    ],
)
def test_malformed_messages(messages: Any) -> None:
    facts = facts_of_messages(messages)
    assert (facts.cacheable, facts.semantic, facts.reason) == (False, False, "malformed")


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "Be brief."}]])
def test_nothing_asked(messages: list[Any]) -> None:
    assert facts_of_messages(messages).reason == "empty"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ([QUESTION, "Paris."], "ends_otherwise"),
        ([[{"type": "text", "text": "What is this?"}, IMAGE]], "non_text"),
        ([[IMAGE]], "non_text"),
        (["Tell me about " + "rivers and lakes " * 100], "too_long_to_embed"),
        (["湖" * 300], "too_long_to_embed"),
    ],
)
def test_what_is_kept_for_equal_requests_only(contents: list[Any], reason: str) -> None:
    facts = facts_of(*contents)
    assert (facts.cacheable, facts.semantic, facts.reason) == (True, False, reason)


def test_after_a_tool_call_the_conversation_ends_otherwise() -> None:
    messages = [
        {"role": "user", "content": "How deep is the lake?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
        {"role": "tool", "content": "12 m", "tool_call_id": "c"},
    ]
    assert facts_of_messages(messages).reason == "ends_otherwise"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("What happened today? " + "Here is the material. " * 2_000, "volatile"),
        ("Here is the material. " * 2_000 + "What happened today?", "volatile"),
        ("Summarise. " + "word " * 4_000 + " today " + "word " * 4_000, "too_long_to_embed"),
    ],
)
def test_a_long_turn_asks_at_its_ends(question: str, reason: str) -> None:
    assert facts_of(question).reason == reason


def test_a_temperature_of_one_and_a_missing_one_are_fine() -> None:
    assert facts_of(QUESTION, temperature=1).reason == "ok"
    assert facts_of(QUESTION, temperature=None).reason == "ok"


@pytest.mark.parametrize(
    ("texts", "low", "high"),
    [
        ([], 0, 0),
        ([""], 1, 8),
        (["The quick brown fox jumps over the lazy dog."], 10, 16),
        (["antidisestablishmentarianism"], 4, 10),
        (["湖の水は深い"], 6, 14),
        # the first 1,200 characters stand for the rest: 172 tokens of one long word, 240 of four-letter words
        (["x" * 2_000_000], 285_000, 287_000),
        (["word " * 200_000], 199_000, 201_000),
    ],
)
def test_estimate(texts: list[str], low: int, high: int) -> None:
    assert low <= estimate_tokens(texts) <= high


@given(st.text(st.characters(max_codepoint=127)))
def test_tokens_of_ascii_are_words_sevenths_and_signs(text: str) -> None:
    assert count_tokens(text) == len(re.findall(r"[^\W_]{1,7}|[^\w\s]|_", text))


NOT_OURS: list[tuple[dict[str, Any], str]] = [
    ({"background": True}, "server_state"),
    ({"conversation": "conv_1"}, "server_state"),
    ({"container": {"id": "c"}}, "server_state"),
    ({"web_search_options": {"search_context_size": "low"}}, "hosted_tools"),
    ({"mcp_servers": [{"url": "https://127.0.0.1"}]}, "hosted_tools"),
    ({"tools": [{"type": "web_search"}]}, "hosted_tools"),
    ({"tools": [{"type": "function", "name": "f"}, {"type": "code_interpreter"}]}, "hosted_tools"),
    ({"tools": [{"type": "function", "name": "f"}, {"type": "custom"}, {"name": "f", "input_schema": {}}]}, "ok"),
    ({"background": False, "tools": []}, "ok"),
]


@pytest.mark.parametrize(("params", "reason"), NOT_OURS)
def test_what_the_engine_itself_looks_up_or_keeps_is_not_cached(params: dict[str, Any], reason: str) -> None:
    facts = facts_of(QUESTION, **params)
    assert (facts.cacheable, facts.reason) == (reason == "ok", reason)


@pytest.mark.parametrize("endpoint", ["completions", "embeddings"])
def test_raw_input_is_matched_exactly_only(endpoint: str) -> None:
    request = Request(id="r", model="small", messages=[{"role": "user", "content": QUESTION}], endpoint=endpoint)
    facts = BasicAnalyzer().analyze(request)
    assert (facts.cacheable, facts.semantic, facts.reason) == (True, False, "raw_input")


def test_a_vector_is_the_same_tomorrow() -> None:
    asked = [{"role": "user", "content": "What is the weather today?"}]
    assert not BasicAnalyzer().analyze(Request(id="r", model="small", messages=asked)).cacheable
    assert BasicAnalyzer().analyze(Request(id="r", model="small", messages=asked, endpoint="embeddings")).cacheable


@given(st.lists(st.sampled_from(NOW) | st.text(max_size=4), max_size=4))
def test_no_question_about_now_is_overlooked(parts: list[str]) -> None:
    text = " ".join(parts).lower()
    assert bool(ABOUT_NOW.first(frozenset(words_of(text)), text)) == any(
        rule.pattern.search(text) for rule in ABOUT_NOW.rules
    )
