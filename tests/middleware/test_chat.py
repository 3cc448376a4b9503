"""Whole answers and streams, one from the other."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.chat import answer_of, assemble, replay
from forebay.testing import completion

TEXT = st.text(st.characters(exclude_categories=()))
BLANK_AND_TEXT = st.lists(st.sampled_from([" ", "\n", "\t", "\u00a0", "\u2028", "a", "é", "😀"])).map("".join)
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
    {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]
LOGPROBS = {
    "content": [{"token": "hi", "logprob": -0.1, "bytes": [104, 105], "top_logprobs": []}],
    "refusal": None,
}


def body(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole answer with these choices instead of the one it has."""
    made = completion("hi")
    if choices:
        made["choices"] = [{"index": at, "finish_reason": "stop", **choice} for at, choice in enumerate(choices)]
    return {**made, **more}


def said(content: Any, **fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **fields}}


def round_trip(whole: dict[str, Any]) -> Any:
    chunks = json.loads(json.dumps(list(replay(whole, include_usage=True))))
    return assemble(chunks).body


BODIES: dict[str, dict[str, Any]] = {
    "text": body(),
    "empty text": body(said("")),
    "no text": body(said(None)),
    "blanks": body(said(" \n\t ")),
    "tools": body({**said(None, tool_calls=CALLS), "finish_reason": "tool_calls"}),
    "text and tools": body({**said("Let me see.", tool_calls=CALLS[:1]), "finish_reason": "tool_calls"}),
    "a custom tool": body(
        said(None, tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}])
    ),
    "a tool with more": body(
        said(None, tool_calls=[{**CALLS[0], "extra_content": {"google": {"thought_signature": "abc"}}}])
    ),
    "the older function call": body(
        {**said(None, function_call={"name": "f", "arguments": '{"a": 1}'}), "finish_reason": "function_call"}
    ),
    "logprobs": body({**said("hi"), "logprobs": LOGPROBS}),
    "logprobs without text": body({**said(None, tool_calls=CALLS), "logprobs": LOGPROBS}),
    "two choices": body(said("one two"), said("three")),
    "a refusal": body(said(None, refusal="I cannot do that.")),
    "reasoning": body(said("42", reasoning_content="six times seven")),
    "thinking": body(said("42", thinking_blocks=[{"type": "thinking", "thinking": "six", "signature": "s"}])),
    "annotations": body(said("see", annotations=[{"type": "url_citation", "url_citation": {"url": "u"}}])),
    "content parts": body(said([{"type": "text", "text": "hi"}])),
    "audio": body(said(None, audio={"id": "a", "data": "AAAA", "transcript": "hi", "expires_at": 1})),
    "more fields": body(system_fingerprint="fp", service_tier="default", provider={"name": "x"}),
    "more in a choice": body({**said("hi"), "stop_reason": "###"}),
    "cut": body({**said("h"), "finish_reason": "length"}),
    "no choices": {**body(), "choices": []},
}


@pytest.mark.parametrize("whole", BODIES.values(), ids=list(BODIES))
def test_what_is_replayed_and_assembled_is_what_it_was(whole: dict[str, Any]) -> None:
    before = json.dumps(whole)
    assert round_trip(whole) == whole
    assert json.dumps(whole) == before


@given(TEXT | BLANK_AND_TEXT, TEXT | st.none())
def test_no_text_is_changed_by_being_sent_in_pieces(content: str, reasoning: str | None) -> None:
    fields = {} if reasoning is None else {"reasoning_content": reasoning}
    whole = body(said(content, **fields))
    assert assemble(replay(whole, include_usage=True)).body == whole


@given(BLANK_AND_TEXT.filter(str.strip))
def test_each_piece_of_text_but_the_last_ends_where_a_blank_begins(content: str) -> None:
    pieces = [
        chunk["choices"][0]["delta"]["content"]
        for chunk in replay(body(said(content)))
        if chunk["choices"][0]["delta"].get("content")
    ]
    assert "".join(pieces) == content
    assert all(piece.strip() for piece in pieces)
    assert all(left[-1:].strip() and not right[:1].strip() for left, right in pairwise(pieces))


def test_nulls_in_a_message_are_left_out_of_a_stream() -> None:
    whole = body(said("hi", refusal=None, tool_calls=None), system_fingerprint=None)
    found = round_trip(whole)
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "hi"}


def test_chunks_are_chunks_and_the_usage_comes_last_if_asked_for() -> None:
    whole = body(said("one two"))
    chunks = list(replay(whole, include_usage=True))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in chunks} == {whole["id"]}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert list(replay(whole)) == chunks[:-1]
    assert all("usage" not in chunk for chunk in chunks[:-1])


def piece(delta: dict[str, Any], *, index: int = 0, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason, **more}]}


def message_of(*chunks: dict[str, Any]) -> Any:
    return assemble(chunks).body["choices"][0]["message"]


def test_a_tool_call_in_pieces() -> None:
    message = message_of(
        piece({"role": "assistant", "content": None}),
        piece(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}
        ),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        piece({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g"}}]}),
        piece({"tool_calls": [{"index": 0, "id": None, "function": {"name": None, "arguments": ": 1}"}}]}),
        piece({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"arguments": "{}"}}]}),
        piece({}, finish_reason="tool_calls"),
    )
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_tool_calls_that_are_not_numbered_from_zero_leave_no_holes() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert message_of(piece({"tool_calls": [{"index": 1_000_000_000, **call}]}))["tool_calls"] == [call]


def test_an_older_function_call_in_pieces() -> None:
    message = message_of(
        piece({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}),
        piece({"function_call": {"arguments": '{"a"'}}),
        piece({"function_call": {"arguments": ": 1}"}}),
        piece({}, finish_reason="function_call"),
    )
    assert message["function_call"] == {"name": "f", "arguments": '{"a": 1}'}


def test_lists_and_texts_of_deltas_are_joined() -> None:
    message = message_of(
        piece({"reasoning_content": "six ", "annotations": [1]}),
        piece({"reasoning_content": "times", "annotations": [2], "content": "4"}),
        piece({"reasoning_content": None, "content": "2"}),
    )
    assert message == {
        "role": "assistant",
        "reasoning_content": "six times",
        "annotations": [1, 2],
        "content": "42",
    }


def test_logprobs_are_joined() -> None:
    first = {"content": [{"token": "a"}], "refusal": None}
    second = {"content": [{"token": "b"}], "refusal": None}
    answer = assemble(
        [piece({"content": "a"}, logprobs=first), piece({"content": "b"}, logprobs=second), piece({}, logprobs=None)]
    )
    assert answer.body["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}
    plain = assemble([piece({"content": "a"}, logprobs=None)])
    assert "logprobs" not in plain.body["choices"][0]


def test_choices_may_be_mixed_and_have_no_index() -> None:
    answer = assemble(
        [
            piece({"content": "b"}, index=1),
            {"choices": [{"delta": {"content": "a"}}]},
            piece({}, index=1, finish_reason="stop"),
            piece({}, finish_reason="stop"),
        ]
    )
    assert [choice["message"]["content"] for choice in answer.body["choices"]] == ["a", "b"]


def test_a_stream_that_broke_off_has_no_finish_reason() -> None:
    chunks = list(replay(body(said("one two three"))))
    assert assemble(chunks[:-1]).body["choices"][0]["finish_reason"] is None
    assert assemble([]).body["choices"] == []


def test_the_usage_may_come_with_the_last_chunk_or_in_one_of_its_own() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    streams: list[list[dict[str, Any]]] = [
        [piece({"content": "a"}, finish_reason="stop") | {"usage": usage}],
        [piece({"content": "a"}) | {"usage": None}, {"id": "c", "choices": [], "usage": usage}],
    ]
    for chunks in streams:
        answer = assemble(chunks)
        assert (answer.input_tokens, answer.output_tokens) == (5, 2)
        assert answer.body["usage"] == usage


@pytest.mark.parametrize("usage", [None, {}, [], "many", {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"x": 1}])
def test_an_odd_usage_counts_as_nothing(usage: Any) -> None:
    answer = answer_of({"usage": usage})
    assert (answer.input_tokens, answer.output_tokens) == (0, 0)


def test_adding_chunks_does_not_change_them() -> None:
    chunks = [
        piece({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}], "x": [1]}),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}], "x": [2]}, logprobs={"content": [1]}),
        piece({}, logprobs={"content": [2]}),
    ]
    before = json.dumps(chunks)
    assemble(chunks)
    assert json.dumps(chunks) == before
