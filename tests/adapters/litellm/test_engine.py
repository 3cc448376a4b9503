"""The router as an engine, without a proxy: what it is sent, and what becomes of its answers and failures."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from forebay.adapters.litellm.engine import RouterEngine
from forebay.middleware.errors import EngineError
from tests.contract.engine import HEADERS, QUESTION, EngineContract

BILLED_TO: Final = "0123456789abcdef" * 4
ROUTER: Final = "litellm.proxy.proxy_server"
HEADERED: Final = {"model_name": "small", "litellm_params": {"model": "openai/small"}}
HEADERLESS: Final = {"model_name": "small", "litellm_params": {"model": "replicate/small"}}
MESSAGE: Final = {"role": "assistant", "content": "A pool.", "tool_calls": None}
BODY: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "small",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
"""With what is null: LiteLLM writes it that way for caches, and answers are compared."""


class Made:
    """A response object of LiteLLM's."""

    def __init__(self, body: object) -> None:
        self._body = body

    def model_dump(self, *, mode: str) -> object:
        return self._body if mode == "json" else None


class LimitedError(Exception):
    """One that says what the engine said."""

    status_code = 429


class Router:
    """Answers as LiteLLM's router does."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = [HEADERED]
        self.error: Exception | None = None
        self.made = Made(BODY)

    def get_model_list(self, model_name: str) -> list[dict[str, Any]]:
        return [one for one in self.deployments if one["model_name"] == model_name]

    async def acompletion(self, **sent: Any) -> Any:
        self.sent.append(sent)
        if self.error is not None:
            raise self.error
        return self.made


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    made = Router()
    monkeypatch.setitem(sys.modules, ROUTER, SimpleNamespace(llm_router=made))
    return made


@pytest.fixture
def engine(router: Router) -> RouterEngine:
    del router
    return RouterEngine(BILLED_TO)


class TestContract(EngineContract):
    pass


async def test_what_is_sent_keeps_out_of_every_cache_and_is_one_keys(engine: RouterEngine, router: Router) -> None:
    await engine.complete(QUESTION, HEADERS)
    (sent,) = router.sent
    metadata = sent.pop("metadata")
    assert metadata["user_api_key"] == metadata["user_api_key_hash"] == BILLED_TO
    assert "forebay_id" not in metadata, "it would be taken for a client's call"
    assert sent == {
        "model": "small",
        "messages": [{"role": "user", "content": "What is a forebay?"}],
        "temperature": 0,
        "cache": {"no-cache": True, "no-store": True},
        "disable_fallbacks": True,
        "num_retries": 0,
        "extra_headers": HEADERS,
    }


async def test_a_client_names_what_it_likes_in_its_body(engine: RouterEngine, router: Router) -> None:
    params: dict[str, Any] = {
        "disable_fallbacks": False,
        "cache.namespace": "mine",
        "stream": True,
        "stream_options": {},
        "seed": 1,
    }
    await engine.complete(replace(QUESTION, params=params), {})
    (sent,) = router.sent
    assert sent["disable_fallbacks"] is True
    assert sent["seed"] == 1
    assert not {"cache.namespace", "stream", "stream_options", "extra_headers"} & set(sent)


@pytest.mark.parametrize("deployments", [[], [HEADERED, HEADERLESS]])
async def test_headers_go_only_where_every_deployment_takes_them(
    engine: RouterEngine, router: Router, deployments: list[dict[str, Any]]
) -> None:
    router.deployments = deployments
    await engine.complete(QUESTION, HEADERS)
    assert "extra_headers" not in router.sent[0]


async def test_the_answer_has_the_form_of_those_that_are_kept(engine: RouterEngine) -> None:
    answer = await engine.complete(QUESTION, {})
    assert answer.body == BODY
    assert (answer.input_tokens, answer.output_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LimitedError("What is a forebay?"), 429),
        (RuntimeError("What is a forebay?"), 502),
    ],
)
async def test_its_failures_are_engine_errors_without_the_prompt(
    engine: RouterEngine, router: Router, error: Exception, status: int
) -> None:
    router.error = error
    with pytest.raises(EngineError, match=type(error).__name__) as raised:
        await engine.complete(QUESTION, {})
    assert raised.value.status == status
    assert "forebay" not in str(raised.value).lower()


async def test_an_answer_that_is_no_object_is_a_failure(engine: RouterEngine, router: Router) -> None:
    router.made = Made(["a"])
    with pytest.raises(EngineError, match="no object"):
        await engine.complete(QUESTION, {})


async def test_only_chat_and_only_where_there_is_a_router(
    engine: RouterEngine, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="chat"):
        await engine.complete(replace(QUESTION, endpoint="embeddings"), {})
    monkeypatch.delitem(sys.modules, ROUTER)
    with pytest.raises(EngineError, match="LiteLLM proxy"):
        await engine.complete(QUESTION, {})
    assert router.sent == []
