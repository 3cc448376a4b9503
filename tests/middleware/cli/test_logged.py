"""Lines of logs: what is read of them must make the key that the live request makes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from litellm.proxy._types import SpendLogsPayload
from litellm.types.utils import (  # pyright: ignore[reportMissingTypeStubs]
    StandardLoggingMetadata,
    StandardLoggingPayload,
)

from forebay.adapters.litellm import requests
from forebay.adapters.litellm.endpoints.chat import Chat
from forebay.adapters.litellm.requests import build_request, tenant_of
from forebay.middleware.cli.logged import IDENTITY, UnreadableError, read_line
from forebay.middleware.keys import Keyring, make_key

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who wrote Hamlet?"}]
BODY = {
    "model": "tiny",
    "messages": MESSAGES,
    "temperature": 0.2,
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "u1",
    "metadata": {"a": 1},
    "tools": None,
    "my_param": 7,
}
ANSWER = {
    "id": "chatcmpl-1",
    "created": 1_700_000_000,
    "model": "tiny-2",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Shakespeare"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}
WHO = SimpleNamespace(org_id="o", team_id="t", user_id="u", api_key="hash", end_user_id=None)
KEYRING = Keyring.from_secret("a secret that is long enough")


def read(line: Any, *, tenant: str = "default", parts: tuple[str, ...] = ("narrowest",)) -> Any:
    return read_line(json.dumps(line), tenant=tenant, parts=parts)


def live(tenant: str) -> Any:
    data = {**BODY, "proxy_server_request": {"headers": {}, "body": BODY}, "litellm_call_id": "x"}
    request = build_request(data, Chat(), request_id="fb-1", tenant=tenant, labels={})
    assert request is not None
    return request


def test_a_line_of_ours_has_the_key_of_the_live_request() -> None:
    logged = read({"request": BODY, "response": ANSWER, "tenant": "team=t"})
    assert make_key(logged.request, KEYRING) == make_key(live("team=t"), KEYRING)
    assert logged.answer.body == {"object": "chat.completion", **ANSWER}
    assert (logged.answer.input_tokens, logged.answer.output_tokens) == (5, 2)
    assert logged.created_s == 1_700_000_000
    assert not logged.request.stream


def test_what_a_line_says_beside_the_bodies_counts() -> None:
    logged = read({"request": BODY, "response": ANSWER, "model": "other", "created_s": 1.5}, tenant="given")
    assert (logged.request.model, logged.request.tenant, logged.created_s) == ("other", "given", 1.5)


@pytest.mark.parametrize("parts", [("narrowest",), ("team", "key"), ("organization",), ("end_user",)])
def test_a_row_of_the_spend_logs_has_the_key_of_the_live_request(parts: tuple[str, ...]) -> None:
    row = {
        "call_type": "acompletion",
        "status": "success",
        "model": "openai/tiny-2",
        "model_group": "tiny",
        "api_key": "hash",
        "team_id": "t",
        "organization_id": "o",
        "user": "u",
        "end_user": "",
        "endTime": "2026-01-31T10:00:00+00:00",
        "messages": "[]",
        "response": json.dumps(ANSWER),
        "proxy_server_request": json.dumps(BODY),
        "metadata": "{}",
    }
    logged = read(row, parts=parts)
    assert make_key(logged.request, KEYRING) == make_key(live(tenant_of(WHO, parts)), KEYRING)
    assert logged.created_s == 1_769_853_600
    assert set(row) <= set(SpendLogsPayload.__annotations__)


def test_a_logging_payload_has_the_key_of_the_live_request() -> None:
    names = {"org_id": "o", "team_id": "t", "user_id": "u", "hash": "hash", "end_user_id": None}
    payload = {
        "call_type": "acompletion",
        "status": "success",
        "model": "openai/tiny-2",
        "model_group": "tiny",
        "messages": MESSAGES,
        "response": ANSWER,
        "model_parameters": {"temperature": 0.2, "stream": True, "my_param": 7},
        "metadata": {f"user_api_key_{name}": value for name, value in names.items()},
        "endTime": 1_700_000_001.5,
    }
    logged = read(payload)
    assert make_key(logged.request, KEYRING) == make_key(live(tenant_of(WHO, ("narrowest",))), KEYRING)
    assert logged.created_s == 1_700_000_001.5
    assert set(payload) <= set(StandardLoggingPayload.__annotations__)
    known = set(StandardLoggingMetadata.__annotations__)
    assert {noted for _, noted in IDENTITY.values()} <= known


def test_without_an_identity_the_tenant_is_the_given_one() -> None:
    line = {"call_type": "acompletion", "model": "tiny", "messages": MESSAGES, "response": ANSWER}
    assert read(line, tenant="given").request.tenant == "given"


def test_the_fields_left_out_are_those_of_live_requests() -> None:
    assert list(IDENTITY) == list(requests.IDENTITY)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ([], "not_an_object"),
        ({}, "no_messages"),
        ({"request": "x", "response": ANSWER}, "no_request"),
        ({"request": {**BODY, "messages": []}, "response": ANSWER}, "no_messages"),
        ({"request": {**BODY, "messages": ["x"]}, "response": ANSWER}, "no_messages"),
        ({"request": {"messages": MESSAGES}, "response": ANSWER}, "no_model"),
        ({"request": BODY}, "no_answer"),
        ({"request": BODY, "response": {"choices": []}}, "no_answer"),
        ({"request": BODY, "response": "redacted-by-litellm"}, "no_answer"),
        ({"request": BODY, "response": ANSWER, "tenant": 5}, "tenant_is_no_text"),
        ({"call_type": "aembedding"}, "no_chat_completion"),
        ({"call_type": "acompletion", "status": "failure"}, "failed"),
        ({"messages": "redacted-by-litellm", "model": "tiny", "response": ANSWER}, "no_messages"),
    ],
)
def test_what_cannot_be_used_is_labelled(line: Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(line)
    assert str(caught.value) == reason


@pytest.mark.parametrize("line", ["", "{", "[" * 100_000])
def test_what_is_not_json_is_labelled(line: str) -> None:
    with pytest.raises(UnreadableError, match="not_json"):
        read_line(line, tenant="t", parts=("narrowest",))
