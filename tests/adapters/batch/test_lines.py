from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.batch.lines import (
    ENDPOINTS,
    LineError,
    answered,
    body_of,
    failed,
    inputs_of,
    line_id,
    parse,
    prompt_of,
)
from forebay.middleware.batch_checks import RefusedAnswerError
from forebay.middleware.errors import EngineError
from forebay.middleware.records import Answer, Request
from tests.adapters.batch.rig import line
from tests.contract.analyzer import JSON

ALL = frozenset(ENDPOINTS.values())


def parsed(value: Any, model: str | None = None, endpoints: frozenset[str] = ALL) -> Request:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse(raw, model=model, tenant="t", endpoints=endpoints, request_id="r").request


def other(url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "m", **body}}


@given(
    st.fixed_dictionaries({}, optional={"custom_id": JSON, "method": JSON, "url": JSON, "body": JSON})
    | st.fixed_dictionaries(
        {"custom_id": st.text(), "url": st.sampled_from(list(ENDPOINTS))},
        optional={"body": st.dictionaries(st.sampled_from(["model", "messages", "prompt", "input"]), JSON)},
    )
    | JSON
)
def test_every_value_is_a_request_or_a_problem(value: Any) -> None:
    try:
        found = parsed(value)
    except LineError as error:
        assert str(error)  # noqa: PT017  (either is right)
    else:
        assert found.messages
        assert found.model


@given(st.binary())
def test_every_line_is_a_request_or_a_problem(raw: bytes) -> None:
    with pytest.raises(LineError):
        parsed(raw)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"\xff{}", "UTF-8"),
        (b"{", "not JSON"),
        ([], "JSON object"),
        ({**line("a", "q"), "custom_id": 3}, "custom_id"),
        ({**line("a", "q"), "method": "GET"}, "method"),
        ({**line("a", "q"), "url": "/v1/chat/completion"}, "Did you mean '/v1/chat/completions'"),
        ({**line("a", "q"), "body": "secret"}, "body"),
        (line("a", "q", model=None), "model"),
        (line("a", "q", messages=[]), "messages"),
        (line("a", "q", messages=["secret"]), "messages"),
        (other("/v1/completions"), "prompt"),
        (other("/v1/embeddings", input=[]), "input"),
    ],
)
def test_a_problem_says_what_to_change_and_quotes_nothing(value: Any, problem: str) -> None:
    with pytest.raises(LineError, match=problem) as caught:
        parsed(value)
    assert "secret" not in str(caught.value)


def test_an_endpoint_that_the_engine_does_not_answer_is_a_problem() -> None:
    with pytest.raises(LineError, match="--url"):
        parsed(other("/v1/completions", prompt="x"), endpoints=frozenset({"chat"}))


def test_a_request_has_what_changes_the_answer() -> None:
    found = parsed(line("a", "q", temperature=0, user="u", seed=None, stream=True))
    assert dict(found.params) == {"temperature": 0}
    assert (found.model, found.tenant, found.endpoint, found.stream) == ("small", "t", "chat", False)
    assert parsed(line("a", "q"), model="other").model == "other"


@pytest.mark.parametrize("prompt", ["once", ["once", "twice"]])
def test_a_prompt_comes_back_as_it_was(prompt: Any) -> None:
    assert prompt_of(parsed(other("/v1/completions", prompt=prompt))) == prompt


@pytest.mark.parametrize(
    ("given_", "items"), [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2]], [[1], [2]])]
)
def test_inputs_come_back_one_by_one(given_: Any, items: list[Any]) -> None:
    found = parsed(other("/v1/embeddings", input=given_))
    assert inputs_of(found) == items
    assert found.batch is (len(items) > 1)


def test_vectors_are_written_as_the_endpoint_writes_them() -> None:
    one = parsed(other("/v1/embeddings", input="a"))
    body = body_of(one, Answer({"embedding": [1.0], "model": "m"}, input_tokens=4))
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}],
        "model": "m",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def test_ids_are_the_same_each_time_and_differ() -> None:
    assert line_id("d", 1) == line_id("d", 1)
    assert len({line_id(digest, at) for digest in "de" for at in range(50)}) == 100


def test_a_refused_answer_is_in_its_error_line() -> None:
    request = parsed(line("a", "q"))
    wrong = failed("n", "a", request, RefusedAnswerError("not_json", Answer({"choices": [1]})))
    assert wrong["response"]["body"] == {"choices": [1]}
    assert wrong["error"]["code"] == "not_json"
    assert failed("n", "a", request, EngineError("gone"))["response"] is None
    assert failed("n", "a", request, EngineError("busy", status=503))["response"]["status_code"] == 503
    assert answered("n", "a", request, "r", Answer({"choices": []}))["error"] is None
