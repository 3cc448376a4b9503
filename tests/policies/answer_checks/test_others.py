"""The write gate on what other endpoints answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.records import Answer, Request
from forebay.policies.answer_checks.clean_end import CleanEnd

TEXT = {"type": "message", "status": "completed", "content": [{"type": "output_text", "text": "a"}]}
CALL = {"type": "function_call", "status": "completed", "name": "f", "arguments": "{}"}
CHOICE = {"index": 0, "text": "a", "finish_reason": "stop"}


def refused(endpoint: str, body: Any, content: Any = "a", **params: Any) -> str | None:
    messages = [{"role": "user", "content": content}]
    return CleanEnd().refuse(Request("r", "m", messages, params, endpoint=endpoint), Answer(body))


def response(*output: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "response", "status": "completed", "output": list(output or [TEXT]), **fields}


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "stop_reason": "end_turn", "content": list(content), **fields}


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (response(), None),
        (response(CALL), None),
        (response({"type": "reasoning", "summary": []}, TEXT), None),
        (response(error={"code": "server_error"}), "error_body"),
        (response(status="failed"), "finish_reason_other"),
        (response(status="in_progress"), "finish_reason_other"),
        (response(status=None), "finish_reason_null"),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "finish_reason_length"),
        (response(status="incomplete", incomplete_details={"reason": ["?"]}), "finish_reason_other"),
        (response({**TEXT, "status": "incomplete"}), "finish_reason_other"),
        (response({**TEXT, "content": [{"type": "refusal", "refusal": "no"}]}), "refusal"),
        (response({**TEXT, "content": [{"type": "output_text", "text": " "}]}), "empty"),
        (response({"type": "reasoning", "summary": []}), "empty"),
        (response({**CALL, "arguments": "{"}), "invalid_tool_arguments"),
        (response(1), "not_an_object"),
        ({"object": "response", "status": "completed", "output": "a"}, "empty"),
    ],
)
def test_responses(body: Any, label: str | None) -> None:
    assert refused("responses", body) == label


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (message({"type": "text", "text": "a"}), None),
        (message({"type": "tool_use", "name": "f", "input": {}}, stop_reason="tool_use"), None),
        (message({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}), None),
        (message({"type": "text", "text": "a"}, stop_reason="max_tokens"), "finish_reason_length"),
        (message({"type": "text", "text": "a"}, stop_reason="refusal"), "refusal"),
        (message({"type": "text", "text": "a"}, stop_reason="pause_turn"), "finish_reason_other"),
        (message({"type": "text", "text": "a"}, stop_reason=None), "finish_reason_null"),
        (message({"type": "thinking", "thinking": "hm"}), "empty"),
        (message(), "empty"),
        (message({"type": "tool_use", "name": "f", "input": "{"}), "invalid_tool_arguments"),
        (message("a"), "not_an_object"),
    ],
)
def test_messages(body: Any, label: str | None) -> None:
    assert refused("messages", body) == label


@pytest.mark.parametrize(
    ("body", "params", "label"),
    [
        ({"choices": [CHOICE]}, {}, None),
        ({"choices": [CHOICE, CHOICE]}, {"n": 2}, None),
        ({"choices": [CHOICE]}, {"n": 2}, "wrong_choice_count"),
        ({"choices": []}, {}, "no_choices"),
        ({"choices": [{**CHOICE, "finish_reason": "length"}]}, {}, "finish_reason_length"),
        ({"choices": [{**CHOICE, "finish_reason": None}]}, {}, "finish_reason_null"),
        ({"choices": [{**CHOICE, "text": ""}]}, {}, "empty"),
        ({"choices": [CHOICE]}, {"logprobs": 1}, "logprobs_missing"),
        ({"choices": ["a"]}, {}, "not_an_object"),
    ],
)
def test_completions(body: Any, params: dict[str, Any], label: str | None) -> None:
    assert refused("completions", body, **params) == label


def test_one_completion_a_prompt() -> None:
    prompts = [{"type": "prompt", "prompt": "a"}, {"type": "prompt", "prompt": "b"}]
    assert refused("completions", {"choices": [CHOICE, CHOICE]}, prompts) is None
    assert refused("completions", {"choices": [CHOICE]}, prompts) == "wrong_choice_count"


@pytest.mark.parametrize(
    ("vector", "label"),
    [
        ([0.1, 2], None),
        ("AAAA", None),
        ([], "empty"),
        ("", "empty"),
        (None, "empty"),
        ([float("nan")], "not_an_object"),
        ([float("inf")], "not_an_object"),
        (["a"], "not_an_object"),
    ],
)
def test_embeddings(vector: Any, label: str | None) -> None:
    assert refused("embeddings", {"embedding": vector}) == label


def test_what_nobody_knows_is_not_kept() -> None:
    assert refused("rerank", {"results": [1]}) == "unknown_endpoint"


@given(
    st.sampled_from(["completions", "responses", "messages", "embeddings"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "output", "content", "status", "stop_reason", "text", "type", "embedding"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    ),
)
def test_no_body_makes_it_raise(endpoint: str, body: Any) -> None:
    label = refused(endpoint, body)
    assert label is None or label.isidentifier()
