from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from forebay.adapters.litellm.serve.deployments import Deployment, deployments, missing_keys, served_models
from forebay.adapters.litellm.serve.upstreams import parse_upstream
from forebay.middleware.errors import AdapterError, ConfigError

HAS = {"a": ["tiny", "big"], "b": ["tiny"]}


def engines(request: httpx.Request) -> httpx.Response:
    """Two servers; what hosts they are says which models they have."""
    assert request.url.path == "/v1/models"
    return httpx.Response(200, json={"object": "list", "data": [{"id": name} for name in HAS[request.url.host]]})


def client(answer: Callable[[httpx.Request], httpx.Response] = engines) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def silent(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was asked")


def of(*texts: str, answer: Callable[[httpx.Request], httpx.Response] = engines, **more: Any) -> list[Deployment]:
    with client(answer) as http:
        return deployments(
            [parse_upstream(text) for text in texts], environ=more.pop("environ", {}), client=http, **more
        )


def test_a_model_of_two_servers_is_one_name_with_two_deployments() -> None:
    found = of("http://a/v1", "http://b/v1/")
    assert [(each.name, each.base_url) for each in found] == [
        ("tiny", "http://a/v1"),
        ("big", "http://a/v1"),
        ("tiny", "http://b/v1"),
    ]
    assert found[1].entry() == {
        "model_name": "big",
        "litellm_params": {"model": "openai/big", "api_base": "http://a/v1", "api_key": "none"},
    }


def test_a_named_model_is_not_asked_for() -> None:
    found = of("chat=http://a/v1#org/m", "http://b/v1", models=["n"], answer=silent)
    assert found == [Deployment("chat", "openai/org/m", "http://a/v1"), Deployment("n", "openai/n", "http://b/v1")]


def test_one_name_for_several_models_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=re.escape("chat=http://a/v1#MODEL")):
        of("chat=http://a/v1")
    assert of("chat=http://b/v1") == [Deployment("chat", "openai/tiny", "http://b/v1")]


def test_the_same_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        of("http://b/v1", "http://b/v1/#tiny")


def test_keys_are_named_and_never_written() -> None:
    found = of("http://a/v1#m", "openai/gpt", "vertex_ai/gemini", key_env="OURS", environ={"OURS": "sk-secret"})
    entries = [each.entry()["litellm_params"] for each in found]
    assert entries == [
        {"model": "openai/m", "api_base": "http://a/v1", "api_key": "os.environ/OURS"},
        {"model": "openai/gpt", "api_key": "os.environ/OPENAI_API_KEY"},
        {"model": "vertex_ai/gemini"},
    ]
    assert missing_keys(found, {"OURS": "sk-secret", "OPENAI_API_KEY": ""}) == ["OPENAI_API_KEY"]


def test_the_servers_key_is_sent_when_it_is_asked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != "Bearer sk-secret":
            return httpx.Response(401)
        return engines(request)

    assert of("http://b/v1", answer=answer, key_env="OURS", environ={"OURS": "sk-secret"})[0].name == "tiny"
    with pytest.raises(AdapterError, match="--key-env NAME"):
        of("http://b/v1", answer=answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404), "mostly ends in /v1: http://h/v1"),
        (httpx.Response(503), "answers 503"),
        (httpx.Response(307, headers={"location": "https://h/models"}), "redirects to https://h/models"),
        (httpx.Response(200, text="<html>"), "lists no models"),
        (httpx.Response(200, json=[]), "lists no models"),
        (httpx.Response(200, json={"data": None}), "lists no models"),
        (httpx.Response(200, json={"data": [{"id": 3}, "x"]}), "lists no models"),
    ],
)
def test_a_server_that_does_not_say_is_named_with_what_to_change(answer: httpx.Response, said: str) -> None:
    with client(lambda _: answer) as http, pytest.raises(AdapterError) as caught:
        served_models("http://h", http)
    assert said in str(caught.value)
    assert "http://h/models" in str(caught.value)
    assert "--model MODEL" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"), [(httpx.ConnectError("refused"), "refused"), (httpx.ReadTimeout(""), "no answer within 10 s")]
)
def test_a_server_that_cannot_be_reached_is_named(error: httpx.TransportError, said: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with client(answer) as http, pytest.raises(AdapterError, match=rf"http://h/v1/models cannot be reached \({said}"):
        served_models("http://h/v1", http)


def test_a_servers_answer_names_no_variable_of_ours() -> None:
    body = json.dumps({"data": [{"id": "os.environ/OPENAI_API_KEY"}]})
    with client(lambda _: httpx.Response(200, text=body)) as http, pytest.raises(ConfigError, match="model's name"):
        served_models("http://h/v1", http)
