"""The private pieces of LiteLLM that the adapter leans on. One that fails here changed in LiteLLM."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# LiteLLM is half typed, and its private parts are the subject

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import litellm
import pytest
from fastapi import HTTPException
from litellm.caching.caching import Cache
from litellm.caching.dual_cache import DualCache
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.utils import ProxyLogging
from litellm.router_utils.fallback_event_handlers import run_async_fallback
from litellm.types.utils import ModelResponseStream
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice

from forebay.adapters.litellm.endpoints import ENDPOINTS
from forebay.adapters.litellm.facade import ForebayCache, install
from forebay.adapters.litellm.handler import ForebayHandler
from forebay.adapters.litellm.host import takes_headers
from forebay.adapters.litellm.refusal import RefusedByForebay, refusal
from forebay.adapters.litellm.selftest import HOOKS
from forebay.adapters.litellm.streams import choices_of, chunked, has_end
from forebay.middleware.errors import ShedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

# LiteLLM's own: pydantic reads its types lazily, while the first call runs
pytestmark = pytest.mark.filterwarnings("ignore:.*using the `ReadOnly` qualifier:UserWarning")


HOST: Any = litellm  # half typed


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    litellm.cache = None
    yield
    litellm.cache = None


class Bridge:
    """Notes what LiteLLM's cache brings, and answers with what it was given."""

    def __init__(self) -> None:
        self.answer: object = None
        self.key: str | None = None
        self.asked: list[dict[str, Any]] = []
        self.brought: list[Any] = []
        self.came = asyncio.Event()
        self.stopped = False

    def key_of(self, kwargs: Mapping[str, Any]) -> str | None:
        return self.key

    async def hand_out(self, kwargs: Mapping[str, Any]) -> object:
        self.asked.append(dict(kwargs))
        return self.answer

    def take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        self.brought.append(value)
        self.came.set()

    def asked_host(self, kwargs: Mapping[str, Any]) -> bool:
        return False

    async def stop(self) -> None:
        self.stopped = True


async def complete(text: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return await litellm.acompletion(model="gpt-4o-mini", messages=messages, mock_response="hello there", **more)


def test_every_hook_exists_and_stands_in_the_class_itself() -> None:
    for hook in HOOKS:
        assert hook in vars(ForebayHandler)
        theirs = inspect.signature(getattr(CustomLogger, hook)).parameters
        ours = inspect.signature(getattr(ForebayHandler, hook)).parameters
        assert list(ours) == list(theirs), hook


async def test_an_inherited_hook_is_not_called() -> None:
    called: list[str] = []

    class Own(CustomLogger):
        async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> Any:
            called.append(type(self).__name__)

    class Inherited(Own):
        pass

    make: Any = ProxyLogging
    dispatch = make(user_api_key_cache=DualCache())
    before = litellm.callbacks
    try:
        litellm.callbacks = [Own(), Inherited()]
        await dispatch.pre_call_hook(user_api_key_dict=UserAPIKeyAuth(api_key="k"), data={}, call_type="acompletion")
    finally:
        litellm.callbacks = before
    assert called == ["Own"]


async def test_the_cache_is_asked_with_the_whole_call_and_gets_its_answer() -> None:
    bridge = Bridge()
    assert isinstance(install(bridge), ForebayCache)
    answer = await complete("first", metadata={"forebay_id": "fb-1"})
    await asyncio.wait_for(bridge.came.wait(), 10)
    (asked,) = bridge.asked
    assert asked["messages"] == [{"role": "user", "content": "first"}]
    assert asked["metadata"]["forebay_id"] == "fb-1"
    (brought,) = bridge.brought
    assert json.loads(brought)["id"] == answer.id


async def test_a_conversation_of_any_length_is_asked_for() -> None:
    bridge = Bridge()
    install(bridge)
    long = [{"role": "user" if at % 2 == 0 else "assistant", "content": "x"} for at in range(21)]
    await litellm.acompletion(model="gpt-4o-mini", messages=long, mock_response="hello")
    assert len(bridge.asked) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_backend_answers_is_handed_out(stream: bool) -> None:
    bridge = Bridge()
    install(bridge)
    message = {"role": "assistant", "content": "kept words"}
    kept = {
        "id": "chatcmpl-kept",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    bridge.answer = kept
    answer = await complete("again", stream=stream)
    if stream:
        chunks = [chunk async for chunk in answer]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "kept words"
        assert {chunk.id for chunk in chunks} == {"chatcmpl-kept"}
    else:
        assert (answer.id, answer.choices[0].message.content) == ("chatcmpl-kept", "kept words")
    assert bridge.brought == []


async def test_calls_of_other_kinds_do_not_reach_the_cache() -> None:
    bridge = Bridge()
    install(bridge)
    await litellm.aimage_generation(model="dall-e-3", prompt="x", mock_response="http://127.0.0.1/a.png")
    assert "aimage_generation" not in ENDPOINTS
    assert bridge.asked == []


async def written(cache: Any) -> None:
    """Wait until LiteLLM's own task has written into its cache."""
    while not cache.cache.cache_dict:  # noqa: ASYNC110  (LiteLLM has no event for it)
        await asyncio.sleep(0)


async def test_an_operators_cache_is_wrapped() -> None:
    theirs = Cache(type="local")  # type: ignore[arg-type]
    litellm.cache = theirs
    bridge = Bridge()
    ours = install(bridge)
    assert litellm.cache is ours
    assert ours.inner is theirs
    assert ours.cache is theirs.cache
    first = await complete("asked of both")
    await asyncio.wait_for(bridge.came.wait(), 10)
    await written(theirs)
    second = await complete("asked of both")
    assert second.id == first.id
    assert len(bridge.asked) == 2


async def test_an_operators_cache_never_sees_a_key_of_ours() -> None:
    theirs = Cache(type="local")  # type: ignore[arg-type]
    litellm.cache = theirs
    bridge = Bridge()
    bridge.key = "forebay:abc"
    install(bridge)
    answer = await complete("streamed", stream=True)
    async for _ in answer:
        pass
    await written(theirs)
    kept: Any = theirs.cache
    assert all("forebay" not in key for key in kept.cache_dict)


def test_a_second_install_wraps_the_same_cache() -> None:
    theirs = Cache(type="local")  # type: ignore[arg-type]
    litellm.cache = theirs
    install(Bridge())
    assert install(Bridge()).inner is theirs


async def test_both_caches_are_told_of_the_end() -> None:
    class Theirs(Cache):
        closed = False

        async def disconnect(self) -> None:
            self.closed = True

    theirs = Theirs(type="local")  # type: ignore[arg-type]
    litellm.cache = theirs
    bridge = Bridge()
    await install(bridge).disconnect()
    assert bridge.stopped
    assert theirs.closed


def test_a_refusal_is_an_http_error_and_skips_retries_and_fallbacks() -> None:
    from litellm.integrations.custom_guardrail import is_guardrail_intervention

    error = refusal(ShedError("queue_full", status=429, retry_after_s=3), "fb-1")
    assert isinstance(error, HTTPException)
    assert (error.status_code, error.headers) == (
        429,
        {"retry-after": "3", "x-forebay-cache": "shed", "x-forebay-id": "fb-1"},
    )
    assert is_guardrail_intervention(error)
    assert not is_guardrail_intervention(HTTPException(429))
    assert isinstance(error, RefusedByForebay)


async def test_a_refusal_in_the_deployment_hook_costs_one_attempt() -> None:
    attempts: list[str] = []

    class Refusing(CustomLogger):
        async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
            attempts.append(kwargs["model"])
            raise refusal(ShedError("queue_timeout", status=429, retry_after_s=1), "fb-1")

    params = {"model": "gpt-4o-mini", "mock_response": "hello"}
    models = [{"model_name": name, "litellm_params": params} for name in ("tiny", "spare")]
    router = HOST.Router(model_list=models, num_retries=3, fallbacks=[{"tiny": ["spare"]}])
    before = litellm.callbacks
    try:
        litellm.callbacks = [Refusing()]
        with pytest.raises(RefusedByForebay):
            await router.acompletion(model="tiny", messages=[{"role": "user", "content": "x"}])
    finally:
        litellm.callbacks = before
    assert len(attempts) == 1


def test_a_fallback_says_so_in_the_metadata() -> None:
    assert '["attempted_fallbacks"]' in inspect.getsource(run_async_fallback)


def chunk(content: str | None, finish: str | None = None, logprobs: Any = None) -> ModelResponseStream:
    choice: Any = {"index": 0, "delta": {"content": content}, "finish_reason": finish, "logprobs": logprobs}
    return ModelResponseStream(id="chatcmpl-1", model="tiny", choices=[choice])


def wrapped(*chunks: object) -> CustomStreamWrapper:
    from litellm.litellm_core_utils.litellm_logging import Logging

    async def upstream() -> AsyncIterator[object]:
        for one in chunks:
            yield one

    logging: Any = Logging
    record = logging(
        model="tiny",
        messages=[],
        stream=True,
        call_type="acompletion",
        start_time=datetime.now(tz=UTC),
        litellm_call_id="1",
        function_id="1",
    )
    record.model_call_details["litellm_params"] = {}
    make: Any = CustomStreamWrapper
    made: CustomStreamWrapper = make(
        completion_stream=upstream(), model="tiny", custom_llm_provider="openai", logging_obj=record
    )
    return made


async def test_a_stream_remembers_whether_its_upstream_ended_it() -> None:
    """LiteLLM adds "stop" to the chunks it hands out, not to those it remembers."""
    whole, broken = wrapped(chunk("a"), chunk(None, "stop")), wrapped(chunk("a"), chunk("b"))
    for stream in (whole, broken):
        handed_out = [one async for one in stream]
        assert handed_out[-1].choices[0].finish_reason == "stop"
    assert has_end(whole)
    assert not has_end(broken)
    assert not has_end(None)


@pytest.mark.parametrize(
    ("word", "ended"), [("malformed_function_call", False), ("weather", False), ("eos", True), ("stop", True)]
)
async def test_a_stream_remembers_its_engines_own_word_for_the_end(word: str, ended: bool) -> None:
    """LiteLLM hands "stop" out for all of them."""
    sent: dict[str, Any] = {"id": "1", "created": 1, "model": "tiny", "object": "chat.completion.chunk"}
    last: Any = {"index": 0, "delta": {}, "finish_reason": word}
    stream = wrapped(chunk("a"), ChatCompletionChunk.construct(**sent, choices=[Choice.construct(**last)]))
    handed_out = [one async for one in stream]
    assert handed_out[-1].choices[0].finish_reason == "stop"
    assert has_end(stream) is ended


async def test_the_stream_inside_the_routers_wrapper_is_found() -> None:
    router = HOST.Router(
        model_list=[{"model_name": "tiny", "litellm_params": {"model": "openai/tiny", "api_key": "x"}}]
    )
    inner = wrapped(chunk("a"), chunk(None, "stop"))
    outer = await router._acompletion_streaming_iterator(
        model_response=inner, messages=[], initial_kwargs={"model": "tiny"}
    )
    assert outer is not inner
    assert chunked(outer) is inner


async def test_a_stream_remembers_its_logprobs() -> None:
    def token(text: str) -> dict[str, Any]:
        return {"content": [{"token": text, "logprob": -1.0, "bytes": None, "top_logprobs": []}], "refusal": None}

    stream = wrapped(chunk("a", logprobs=token("a")), chunk("b", logprobs=token("b")), chunk(None, "stop"))
    async for _ in stream:
        pass
    (choice,) = choices_of(stream)
    assert [item["token"] for item in choice["logprobs"]["content"]] == ["a", "b"]
    assert choices_of(wrapped()) == []


async def test_the_chat_stream_inside_a_text_stream_is_found() -> None:
    from litellm.main import _async_streaming
    from litellm.utils import TextCompletionStreamWrapper

    inner = wrapped(chunk("a"), chunk(None, "stop"))
    make: Any = TextCompletionStreamWrapper
    streaming: Any = _async_streaming
    outer = make(
        completion_stream=streaming(response=inner, model="tiny", custom_llm_provider="openai", args=()),
        model="tiny",
    )
    assert chunked(outer) is inner
    assert chunked(object()) is None


def test_the_routers_wrapper_shares_the_remembered_chunks() -> None:
    source = inspect.getsource(HOST.Router._acompletion_streaming_iterator)
    assert 'getattr(model_response, "chunks", None)' in source
    assert "self.chunks = inner_chunks" in source


def test_which_providers_take_headers() -> None:
    assert takes_headers({"model": "gpt-4o-mini"})
    assert takes_headers({"model": "tiny", "custom_llm_provider": "hosted_vllm"})
    assert not takes_headers({"model": "no-such-model-anywhere"})
    assert not takes_headers({})
