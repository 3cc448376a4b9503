"""What is read of streams and requests of each endpoint, and what is made of kept answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.adapters.asgi.endpoints import ENDPOINTS, Chat, Endpoint
from forebay.adapters.asgi.requests import body_of, form_of, request_of
from forebay.adapters.engines.sse import EventParser
from forebay.middleware.errors import ShedError
from forebay.middleware.keys import Keyring, make_key
from forebay.middleware.narrow import is_object
from forebay.middleware.records import Answer, Request

KEYRING = Keyring.from_secret("a secret for these tests")
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
jsons: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def answer(name: str, text: str) -> dict[str, Any]:
    if name == "messages":
        usage = {"input_tokens": 1, "output_tokens": 2}
        block = {"type": "text", "text": text}
        return {
            "id": "x",
            "type": "message",
            "role": "assistant",
            "content": [block],
            "stop_reason": "end_turn",
            "usage": usage,
        }
    said = {"text": text} if name == "completions" else {"message": {"role": "assistant", "content": text}}
    kind = "text_completion" if name == "completions" else "chat.completion"
    return {"id": "x", "object": kind, "choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": USAGE}


def read(endpoint: Endpoint, events: list[str]) -> Answer | None:
    assembler = endpoint.assembler()
    for data in EventParser().feed("".join(events).encode()):
        assembler.add(data)
    return assembler.answer()


def asked(
    endpoint: Endpoint, body: dict[str, Any], headers: dict[str, str] | None = None, query: bytes = b""
) -> Request:
    made = request_of(endpoint, body, headers or {}, query, tenant="t", keyring=KEYRING)
    assert made is not None
    return made


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda one: one.name)
@given(text=st.text(min_size=1, max_size=80))
@settings(deadline=None)
def test_a_kept_answer_sent_as_a_stream_is_read_as_the_answer(endpoint: Endpoint, text: str) -> None:
    body = answer(endpoint.name, text)
    body = json.loads(json.dumps(body).replace("\\ud", "\\u0"))  # no lone surrogates: no server sends them
    events = list(endpoint.events(body, {"stream": True, "stream_options": {"include_usage": True}}))
    again, whole = read(endpoint, events), endpoint.whole(body)
    assert again is not None
    assert whole is not None
    lasting = {name: value for name, value in again.body.items() if value is not None}
    assert lasting == {name: value for name, value in whole.body.items() if value is not None}
    assert (again.input_tokens, again.output_tokens) == (whole.input_tokens, whole.output_tokens) == (1, 2)
    cut = read(endpoint, events[:-1])
    assert cut is None  # the last event says that it is whole


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda one: one.name)
@given(value=jsons)
@settings(deadline=None)
def test_no_body_makes_reading_raise(endpoint: Endpoint, value: Any) -> None:
    as_body: dict[str, Any] = value if is_object(value) else {}
    for body in ({endpoint.content: value}, as_body):
        request_of(endpoint, body, {}, b"", tenant="t", keyring=KEYRING)
    endpoint.whole(as_body)


@given(data=jsons.map(json.dumps) | st.text(max_size=20))
@settings(deadline=None)
def test_events_of_another_kind_are_refused_or_passed_over(data: str) -> None:
    for endpoint in ENDPOINTS.values():
        assembler = endpoint.assembler()
        try:
            assembler.add(data)
        except (ValueError, TypeError, AttributeError):
            continue  # nothing is kept then
        assert assembler.answer() is None or data == "[DONE]"


def test_what_comes_in_pieces_that_cannot_be_joined_is_not_kept() -> None:
    def chunk(**choice: Any) -> str:
        return f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n"

    ids = [chunk(delta={"content": "a"}, token_ids=[1]), chunk(delta={"content": "b"}, token_ids=[2])]
    with pytest.raises(ValueError, match="token_ids"):
        read(Chat(), ids)
    same = [chunk(delta={"content": "a"}, seed=7), chunk(delta={"content": "b"}, seed=7, finish_reason="stop")]
    found = read(Chat(), [*same, "data: [DONE]\n\n"])
    assert found is not None
    assert found.body["choices"][0]["message"]["content"] == "ab"
    assert found.output_tokens == 2  # it told none: a piece counts as one


def test_a_refusal_is_in_the_endpoints_words() -> None:
    for status, kind in ((429, "rate_limit_error"), (503, "overloaded_error")):
        error = ShedError("queue_full", status=status, retry_after_s=3)
        for endpoint in ENDPOINTS.values():
            assert endpoint.refusal(error)["error"]["type"] == kind


def test_what_changes_the_answer_is_in_its_key_and_nothing_else() -> None:
    def exact(body: dict[str, Any] | None = None, headers: dict[str, str] | None = None, query: bytes = b"") -> str:
        messages = [{"role": "user", "content": "hello"}]
        return make_key(
            asked(Chat(), {"model": "m", "messages": messages, **(body or {})}, headers, query), KEYRING
        ).exact

    plain = exact()
    same: list[dict[str, Any]] = [{"stream": True}, {"user": "u"}, {"priority": 1}, {"temperature": None}]
    assert {exact(body) for body in same} == {plain}
    assert exact(headers={"x-request-id": "1", "user-agent": "curl"}) == plain
    others = [
        exact({"temperature": 0}),
        exact({"seed": 1}),
        exact({"chat_template_kwargs": {"a": 1}}),
        exact({"model": "n"}),
    ]
    others += [exact(headers={"anthropic-beta": "x"}), exact(query=b"api-version=2")]
    assert len({plain, *others}) == len(others) + 1


def test_only_responses_alike_byte_for_byte_are_shared() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    forms = [
        form_of(asked(Chat(), {**body, **more}), {**body, **more}, headers)
        for more in ({}, {"stream": True}, usage)
        for headers in ({}, {"accept-encoding": "gzip"}, {"accept": "application/json"})
    ]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize("more", [{"return_token_ids": True}, {"stream_options": {"continuous_usage_stats": True}}])
def test_what_each_piece_of_a_stream_brings_is_not_kept(more: dict[str, Any]) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "stream": True, **more}
    controls = asked(Chat(), body).controls
    assert (controls.no_cache, controls.no_store) == (True, True)
    assert not asked(Chat(), {**body, "stream": False}).controls.no_cache


@pytest.mark.parametrize(
    ("headers", "body", "readable"),
    [
        ({}, b"{}", True),
        ({"content-type": "application/json; charset=utf-8"}, b"{}", True),
        ({"content-encoding": "identity"}, b"{}", True),
        ({"content-encoding": "gzip"}, b"{}", False),
        ({"content-type": "text/plain"}, b"{}", False),
        ({}, b"[]", False),
        ({}, b"{", False),
        ({}, b"\xff", False),
        ({}, b"[" * 100_000, False),
    ],
)
def test_only_plain_json_objects_are_read(headers: dict[str, str], body: bytes, readable: bool) -> None:
    assert (body_of(headers, body) is not None) == readable
