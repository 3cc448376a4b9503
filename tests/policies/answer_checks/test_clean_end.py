from __future__ import annotations

from typing import Any

import pytest

from forebay.middleware.records import Answer
from forebay.policies.answer_checks.clean_end import CleanEnd
from tests.contract.answer_check import AnswerCheckContract, body, request

CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def called(arguments: Any, **fields: Any) -> dict[str, Any]:
    call = {**CALL, "function": {"name": "add", "arguments": arguments}, **fields}
    return body(content=None, tool_calls=[call], finish_reason="tool_calls")


class TestCleanEnd(AnswerCheckContract):
    @pytest.fixture
    def check(self) -> CleanEnd:
        return CleanEnd()


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (None, "not_an_object"),
        ([], "not_an_object"),
        ({}, "no_choices"),
        ({"choices": []}, "no_choices"),
        ({"choices": "stop"}, "no_choices"),
        ({"choices": [1]}, "not_an_object"),
        ({**body(), "error": {"message": "overloaded"}}, "error_body"),
        ({"error": "overloaded"}, "error_body"),
        ({"choices": body()["choices"] * 2}, "wrong_choice_count"),
        (body(message=None), "not_an_object"),
        (body(finish_reason="length"), "finish_reason_length"),
        (body(finish_reason="content_filter"), "finish_reason_content_filter"),
        (body(finish_reason=None), "finish_reason_null"),
        (body(finish_reason="abort"), "finish_reason_other"),
        (body(finish_reason=["stop"]), "finish_reason_other"),
        (body(content=None), "empty"),
        (body(content=" \n"), "empty"),
        (body(content=[]), "empty"),
        (body(content=None, tool_calls=[]), "empty"),
        (body(content=None, refusal="I can't help with that."), "refusal"),
        (body(refusal="I can't help with that."), "refusal"),
        (called('{"a": '), "invalid_tool_arguments"),
        (called("[1]"), "invalid_tool_arguments"),
        (called(None), "invalid_tool_arguments"),
        (called("[" * 100_000), "invalid_tool_arguments"),
        (body(content=None, tool_calls=[None], finish_reason="tool_calls"), "invalid_tool_arguments"),
        (body(content=None, function_call={"name": "f", "arguments": "x"}), "invalid_tool_arguments"),
    ],
)
def test_what_is_refused(given: Any, label: str) -> None:
    assert CleanEnd().refuse(request(), Answer(given)) == label


@pytest.mark.parametrize(
    "given",
    [
        {**body(), "error": None},
        body(content=[{"type": "text", "text": "x"}]),
        body(content=None, tool_calls=[CALL], finish_reason="tool_calls"),
        body(content="", tool_calls=[CALL, CALL], finish_reason="stop"),
        body(content=None, function_call={"name": "f", "arguments": "{}"}, finish_reason="function_call"),
        body(
            content=None,
            tool_calls=[{"type": "custom", "custom": {"name": "f", "input": "x"}}],
            finish_reason="tool_calls",
        ),
        body(content=None, audio={"id": "a", "data": "…"}),
        body(refusal=None, tool_calls=None),
    ],
)
def test_what_passes(given: Any) -> None:
    assert CleanEnd().refuse(request(), Answer(given)) is None


def test_as_many_choices_as_asked() -> None:
    two = {"choices": body()["choices"] * 2}
    assert CleanEnd().refuse(request(n=2), Answer(two)) is None
    assert CleanEnd().refuse(request(n=3), Answer(two)) == "wrong_choice_count"
    assert CleanEnd().refuse(request(n=None), Answer(body())) is None


def test_every_choice_is_looked_at() -> None:
    second = body(finish_reason="length")["choices"]
    assert CleanEnd().refuse(request(n=2), Answer({"choices": body()["choices"] + second})) == "finish_reason_length"


def test_logprobs_that_were_asked_for_must_be_there() -> None:
    asked = request(logprobs=True)
    assert CleanEnd().refuse(asked, Answer(body())) == "logprobs_missing"
    assert CleanEnd().refuse(asked, Answer(body(logprobs={"content": [{"token": "A"}]}))) is None
    assert CleanEnd().refuse(request(logprobs=False), Answer(body())) is None
