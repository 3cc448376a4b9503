"""What is read of a request of each endpoint, and what is made of its kept answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.litellm.endpoints import ENDPOINTS
from forebay.adapters.litellm.endpoints.embeddings import MAX_ITEMS, cached_embedding, items_of, message_of
from forebay.adapters.litellm.endpoints.messages import EVENTS
from forebay.adapters.openai.messages import assemble, data_of, replay
from forebay.middleware.flight import Flight, Part
from forebay.middleware.keys import Keyring, make_key
from forebay.middleware.narrow import is_object
from forebay.middleware.records import Answer, Entry, Hit, Key, Mode, Request, Tier
from forebay.middleware.telemetry import Telemetry

KEYRING = Keyring.from_secret("a secret for these tests")
texts = st.text(min_size=1, max_size=60)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def flight(request: Request, body: Any = None) -> Flight:
    span = Telemetry(enabled=False, trust_inbound=False).root(None, {})
    made = Flight(request, Mode.SERVE, span, now_s=0.0)
    if body is not None:
        entry = Entry("e", "s", "", "q", Answer(body), "tiny", "t", 0.0, 1.0)
        made.found(Hit(Tier.EXACT, entry, 1.0, 1.0, 0.0))
    return made


def request(endpoint: str, messages: Any, **more: Any) -> Request:
    return Request(id="fb-1", model="tiny", messages=messages, endpoint=endpoint, **more)


def test_there_are_five() -> None:
    assert [endpoint.name for endpoint in ENDPOINTS.values()] == [
        "chat",
        "completions",
        "responses",
        "messages",
        "embeddings",
    ]


@pytest.mark.parametrize("call_type", ENDPOINTS)
@given(value=jsons)
def test_no_input_makes_reading_raise(call_type: str, value: Any) -> None:
    endpoint = ENDPOINTS[call_type]
    read = endpoint.messages({endpoint.content: value})
    assert (
        read is None
        or all(isinstance(message.get("role"), str) for message in read)
        or call_type
        in (
            "acompletion",
            "anthropic_messages",
        )
    )


@pytest.mark.parametrize("call_type", ENDPOINTS)
@given(value=jsons)
def test_no_value_makes_taking_in_raise(call_type: str, value: Any) -> None:
    assert ENDPOINTS[call_type].answer(flight(request("chat", [])), value, None) is None


@given(st.lists(texts, min_size=2, max_size=4, unique=True))
def test_several_prompts_are_not_one_text(prompts: list[str]) -> None:
    completions = ENDPOINTS["atext_completion"]
    one = completions.messages({"prompt": "\n".join(prompts)})
    many = completions.messages({"prompt": prompts})
    assert one is not None
    assert many is not None
    keys = {make_key(request("completions", messages), KEYRING).exact for messages in (one, many)}
    assert len(keys) == 2


def test_a_prompt_of_tokens() -> None:
    completions = ENDPOINTS["atext_completion"]
    assert completions.messages({"prompt": [1, 2]}) == completions.messages({"prompt": [[1, 2]]})
    assert completions.messages({"prompt": []}) is None


def test_responses_items_are_read_as_messages() -> None:
    read = ENDPOINTS["aresponses"].messages(
        {
            "input": [
                {"role": "developer", "content": "Be brief."},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "42"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And now?"}]},
            ]
        }
    )
    assert read is not None
    assert [message["role"] for message in read] == [
        "developer",
        "item:function_call",
        "item:function_call_output",
        "user",
    ]
    assert read[-1]["content"] == [{"type": "text", "text": "And now?"}]
    assert read[1]["arguments"] == "{}"


def test_an_image_separates_responses() -> None:
    def key(url: str) -> str:
        parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": url}]
        read = ENDPOINTS["aresponses"].messages({"input": [{"role": "user", "content": parts}]})
        assert read is not None
        return make_key(request("responses", read), KEYRING).scope

    assert key("data:,a") != key("data:,b")


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def thinking_block(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": "s"}


def use_block(given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": "t", "name": "f", "input": given}


arguments = st.dictionaries(st.text(max_size=4), st.integers() | texts, max_size=3)
blocks = st.builds(text_block, texts) | st.builds(thinking_block, texts) | st.builds(use_block, arguments)


@given(st.lists(blocks, min_size=1, max_size=4), st.integers(1, 5))
def test_a_message_replayed_is_the_message(content: list[dict[str, Any]], words: int) -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    again = assemble(data_of(replay(body, words)))
    assert again is not None
    assert again.body == body
    assert (again.input_tokens, again.output_tokens) == (3, 4)


@given(st.lists(blocks, min_size=1, max_size=3), st.data())
def test_a_message_that_broke_off_is_none(content: list[dict[str, Any]], draw: st.DataObject) -> None:
    body = {"id": "m", "type": "message", "content": content, "stop_reason": "end_turn"}
    events = list(replay(body, 1))
    cut = draw.draw(st.integers(0, len(events) - 1))
    assert assemble(data_of(events[:cut])) is None


def test_an_error_in_a_stream_of_messages_spoils_it() -> None:
    body = {"id": "m", "type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}
    events = list(replay(body, 1))
    error = 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'
    assert assemble(data_of([*events[:2], error, *events[2:]])) is None


def test_messages_are_handed_out_as_litellm_keeps_them() -> None:
    body = {"id": "m", "type": "message", "content": [{"type": "text", "text": "a b"}], "stop_reason": "end_turn"}
    messages = ENDPOINTS["anthropic_messages"]
    assert messages.hand_out(flight(request("messages", []), body), {}, 1) == body
    streamed = messages.hand_out(flight(request("messages", [], stream=True), body), {}, 1)
    assert is_object(streamed)
    again = assemble(data_of(streamed[EVENTS]))
    assert again is not None
    assert again.body["content"] == body["content"]


def parts(*found: str | None) -> list[Part]:
    made: list[Part] = []
    for at, vector in enumerate(found):
        entry = None
        if vector is not None:
            answer = Answer({"embedding": json.loads(vector), "model": "tiny"}, input_tokens=5)
            entry = Entry(f"e{at}", "s", "", "q", answer, "tiny", "t", 0.0, 1.0)
        made.append(Part(Key("s", "", f"e{at}", "q"), entry))
    return made


def test_only_the_items_that_were_computed_get_answers() -> None:
    asking = flight(request("embeddings", [], batch=True))
    asking.parts = parts("[1.0]", None, None)
    response = {
        "model": "tiny",
        "data": [{"embedding": [2.0], "index": 0}, {"embedding": [3.0], "index": 1}],
        "usage": {"prompt_tokens": 5},
    }
    answer = ENDPOINTS["aembedding"].answer(asking, {"input": ["b", "c"], "response": response}, None)
    assert answer is not None
    assert [part.answer.body["embedding"] if part.answer else None for part in asking.parts] == [None, [2.0], [3.0]]
    assert [part.answer.input_tokens for part in asking.parts if part.answer] == [3, 2]
    cached = cached_embedding(asking.parts[0])
    assert cached is not None
    assert (cached["embedding"], cached["prompt_tokens"]) == ([1.0], 5)
    assert cached_embedding(asking.parts[1]) is None


@pytest.mark.parametrize("rows", [[], [{"embedding": [1.0]}], [{"embedding": [1.0]}] * 3])
def test_a_wrong_number_of_vectors_is_nothing(rows: list[Any]) -> None:
    asking = flight(request("embeddings", [], batch=True))
    asking.parts = parts(None, None)
    value = {"input": ["a", "b"], "response": {"data": rows}}
    assert ENDPOINTS["aembedding"].answer(asking, value, None) is None
    assert all(part.answer is None for part in asking.parts)


def test_the_items_of_an_input() -> None:
    assert items_of("a") == ["a"]
    assert items_of(["a", "b"]) == ["a", "b"]
    assert items_of([1, 2]) == [[1, 2]]
    assert items_of([[1], [2]]) == [[1], [2]]
    assert items_of(None) == []
    assert message_of("a")["content"] == "a"
    embeddings = ENDPOINTS["aembedding"]
    assert embeddings.messages({"input": ["x"] * (MAX_ITEMS + 1)}) is None
    assert embeddings.messages({"input": []}) is None
