"""What an answer says, as text, whichever endpoint it came from."""

from __future__ import annotations

from typing import Any

import pytest

from forebay.middleware.answer_values import text_of_answer
from forebay.middleware.records import Answer
from forebay.testing import completion

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (completion(" Paris. "), "Paris."),
        ({"choices": [{"text": "one"}, {"text": "two"}]}, "one\ntwo"),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "Paris"}]}}]}, "Paris"),
        ({"content": [{"type": "text", "text": "Paris"}], "role": "assistant"}, "Paris"),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Paris"}]}]}, "Paris"),
    ],
)
def test_text_alone_is_that_text(body: dict[str, Any], text: str) -> None:
    assert text_of_answer(Answer(body)) == text


NOT_TEXT: list[dict[str, Any]] = [
    completion(None, tool_calls=[CALL]),
    completion("Let me look.", tool_calls=[CALL]),
    {"content": [{"type": "tool_use", "name": "f", "input": {}}]},
    {"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]},
    {"data": [{"embedding": [0.1]}]},
]


@pytest.mark.parametrize("body", NOT_TEXT)
def test_anything_else_is_its_json_without_what_differs_from_call_to_call(body: dict[str, Any]) -> None:
    texts = {text_of_answer(Answer({**body, "id": name, "created": at})) for at, name in enumerate("ab")}
    assert len(texts) == 1
    assert texts.pop().startswith("{")


def test_equal_calls_are_equal_and_others_are_not() -> None:
    def calling(name: str, arguments: str, **message: Any) -> str:
        call = {"id": name, "type": "function", "function": {"name": "f", "arguments": arguments}}
        return text_of_answer(Answer({"choices": [{"message": {"tool_calls": [call], **message}}]}))

    assert calling("c1", '{"id": 1}') == calling("c2", '{"id": 1}', content=None, refusal=None)
    assert calling("c1", '{"id": 1}') != calling("c1", '{"id": 2}')
    uses = [
        text_of_answer(Answer({"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"id": at}}]}))
        for at in (1, 2)
    ]
    assert uses[0] != uses[1]


def test_of_nothing_it_is_empty() -> None:
    assert text_of_answer(None) == ""
