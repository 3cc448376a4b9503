from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from forebay.middleware.analysis.facts import Profile
from forebay.middleware.records import Request
from forebay.policies.profile.classifier import ProfileClassifier
from tests.contract.classifier import FACTS, ClassifierContract

PNG = "data:image/png;base64,AAAA"
TEXT = {"type": "text", "text": "What is in it?"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CLAUDE_TOOL = {"name": "weather", "input_schema": {"type": "object"}}
SCHEMA: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "name": "a"}]}}

CASES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    ("What is the capital of France?", {}, {"language": "en", "modalities": ("text",)}),
    ([TEXT], {}, {"modalities": ("text",), "language": "en"}),
    ([TEXT, {"type": "image_url", "image_url": {"url": PNG}}], {}, {"modalities": ("image", "text")}),
    ([{"type": "input_text", "text": "Was ist das für ein Tier?"}], {}, {"language": "de"}),
    ([{"type": "input_image", "image_url": PNG}], {}, {"modalities": ("image",), "language": "und"}),
    ([TEXT, {"type": "input_audio", "input_audio": {"data": "AA"}}], {}, {"modalities": ("audio", "text")}),
    ([TEXT, {"type": "input_file", "file_id": "f"}], {}, {"modalities": ("file", "text")}),
    ([TEXT, {"type": "file", "file": {}}], {}, {"modalities": ("file", "text")}),
    ([TEXT, {"type": "image", "source": {}}], {}, {"modalities": ("image", "text")}),
    ([TEXT, {"type": "document", "source": {}}], {}, {"modalities": ("file", "text")}),
    ([TEXT, {"type": "hologram"}], {}, {"modalities": ("text",)}),
    ("Hi", {"tools": [TOOL, TOOL]}, {"tools": 2, "structured": False}),
    ("Hi", {"functions": [{"name": "a"}]}, {"tools": 1}),
    ("Hi", {"tools": [TOOL], "tool_choice": "none"}, {"tools": 0}),
    ("Hi", {"tools": [CLAUDE_TOOL], "tool_choice": {"type": "none"}}, {"tools": 0}),
    ("Hi", {"tools": [TOOL], "tool_choice": "auto"}, {"tools": 1, "structured": False}),
    ("Hi", {"tools": [TOOL], "tool_choice": "required"}, {"tools": 1, "structured": True}),
    ("Hi", {"tools": [CLAUDE_TOOL], "tool_choice": {"type": "any"}}, {"structured": True}),
    ("Hi", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "a"}}}, {"structured": True}),
    ("Hi", {"tools": [TOOL, TOOL], "tool_choice": ALLOWED}, {"tools": 1, "structured": True}),
    ("Hi", {"functions": [{"name": "a"}], "function_call": {"name": "a"}}, {"structured": True}),
    ("Hi", {"response_format": {"type": "json_object"}}, {"structured": True}),
    ("Hi", {"response_format": SCHEMA}, {"structured": True}),
    ("Hi", {"response_format": {"type": "text"}}, {"structured": False}),
    ("Hi", {"text": {"format": {"type": "json_schema"}}}, {"structured": True}),
    ("Hi", {"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"structured": False}),
    ("Hi", {"output_config": {"format": {"type": "json_schema"}}}, {"structured": True}),
    ("Hi", {"guided_regex": "[ab]"}, {"structured": True}),
    ("Hi", {"extra_body": {"guided_json": {"type": "object"}}}, {"structured": True}),
    ("Hi", {"structured_outputs": {"choice": ["a", "b"]}}, {"structured": True}),
    ("Hi", {"grammar": "root ::= 'a'"}, {"structured": True}),
    ("Hi", {"max_tokens": 5}, {"max_tokens": 5}),
    ("Hi", {"max_tokens": 5, "max_completion_tokens": 9}, {"max_tokens": 9}),
    ("Hi", {"max_output_tokens": 7}, {"max_tokens": 7}),
    ("Hi", {"max_tokens": "5"}, {"max_tokens": None}),
    ("Hi", {"max_tokens": True}, {"max_tokens": None}),
    ("Hi", {"max_tokens": -1}, {"max_tokens": None}),
    ("Hi", {"max_tokens": 10**400}, {"max_tokens": None}),
    ("Hi", {"stop": "\n"}, {"stops": 1}),
    ("Hi", {"stop": ["a", "b", 3]}, {"stops": 2}),
    ("Hi", {"stop_sequences": ["a"]}, {"stops": 1}),
    ("```python\nprint(1)\n```", {}, {"code_share": 1.0, "language": "und"}),
    ("Warum ist das so langsam?\n```python\nfor a in b: print(a)\n```", {}, {"language": "de"}),
]


class TestProfileClassifier(ClassifierContract):
    @pytest.fixture(params=["estimated", "counted"])
    def classifier(self, request: pytest.FixtureRequest) -> ProfileClassifier:
        return ProfileClassifier((lambda _: len) if request.param == "counted" else None)


def profile_of(content: Any = "What is the capital of France?", **params: Any) -> Profile:
    request = Request("r", "small", ({"role": "user", "content": content},), params)
    profile = ProfileClassifier().classify(request, FACTS).profile
    assert profile is not None
    return profile


@pytest.mark.parametrize(("content", "params", "expected"), CASES)
def test_what_a_request_looks_like(content: Any, params: dict[str, Any], expected: dict[str, Any]) -> None:
    found = asdict(profile_of(content, **params))
    assert {name: found[name] for name in expected} == expected


def test_modalities_are_of_all_turns_and_the_language_of_the_last_users() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Du bist ein freundlicher Helfer, und du antwortest kurz."},
        {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": "C'est une photo de la mer et des bateaux."},
        {"role": "user", "content": "¿De qué color es el barco que está más cerca?"},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "colour: blue"},
    ]
    profile = ProfileClassifier().classify(Request("r", "small", messages), FACTS).profile
    assert profile is not None
    assert profile.modalities == ("image", "text")
    assert profile.language == "es"


def counted(counter: Callable[[str], int] | None, text: str = "one two three", **params: Any) -> Profile:
    classifier = ProfileClassifier(lambda model: counter if model == "known" else None, counted_chars=100)
    request = Request("r", "known", ({"role": "user", "content": text},), params)
    profile = classifier.classify(request, FACTS).profile
    assert profile is not None
    return profile


def test_a_known_tokenizer_counts() -> None:
    profile = counted(lambda text: len(text.split()))
    assert (profile.input_tokens, profile.counted) == (3 + 4, True)


def test_a_long_prompt_is_counted_in_part() -> None:
    read: list[int] = []

    def count(text: str) -> int:
        read.append(len(text))
        return len(text) // 2

    assert counted(count, "x" * 1_000).input_tokens == 500 + 4
    assert read == [100]


def test_an_unknown_model_and_a_failing_tokenizer_leave_the_estimate() -> None:
    def fail(text: str) -> int:
        raise RuntimeError(text)

    for profile in (counted(None), counted(fail), counted(lambda _: -1)):
        assert (profile.input_tokens, profile.counted) == (FACTS.input_tokens, False)


def test_tools_and_instructions_are_input() -> None:
    bare, more = profile_of(), profile_of(tools=[TOOL] * 10, instructions="Be brief. " * 20)
    assert more.input_tokens > bare.input_tokens + 250
    assert counted(len, "a", system="b" * 40).input_tokens == 42 + 4
