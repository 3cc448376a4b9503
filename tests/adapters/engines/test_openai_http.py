"""Against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from forebay.adapters.engines.openai_http import OpenAIHTTPEngine
from forebay.middleware.errors import EngineError
from forebay.middleware.protocols import Component
from forebay.middleware.records import Request
from tests.contract.engine import HEADERS, QUESTION, EngineContract

SECRET = "What is a forebay?"
COMPLETION = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A pool."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}
CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "A "}}]},
    {"choices": [{"index": 0, "delta": {"content": "pool."}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
]
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def events(*data: Any) -> bytes:
    texts = (item if isinstance(item, str) else json.dumps(item) for item in data)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


class Server:
    """Answers as OpenAI's API does, or as a test says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answering: Answering | None = None
        self.models = 200
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        self.asked.set()
        if self.answering is not None:
            return await self.answering(request)
        if self.bodies[-1]["stream"]:
            return await self.send(request, events(*CHUNKS, "[DONE]"))
        return web.json_response(COMPLETION)

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": []}, status=self.models)

    async def send(self, request: web.Request, *parts: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    async def send_and_hang(self, request: web.Request, *parts: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        try:
            while True:
                await response.write(b": still here\n\n")
                await asyncio.sleep(0.01)
        finally:
            self.gone.set()

    def answers(self, *parts: bytes) -> None:
        self.answering = lambda request: self.send(request, *parts)

    def refuses(self, status: int, text: str = "", **headers: str) -> None:
        async def refuse(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=text, headers=headers)

        self.answering = refuse


@pytest_asyncio.fixture
async def server() -> Server:
    return Server()


@pytest_asyncio.fixture
async def url(server: Server) -> AsyncIterator[str]:
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.list_models)
    running = TestServer(app)
    await running.start_server()
    yield str(running.make_url("/v1"))
    await running.close()


@pytest_asyncio.fixture
async def engine(url: str) -> AsyncIterator[OpenAIHTTPEngine]:
    made = OpenAIHTTPEngine(base_url=url, api_key="key", timeout_s=5.0)
    await made.start()
    yield made
    await made.stop()


class TestOpenAIHTTPEngine(EngineContract):
    pass


async def drained(engine: OpenAIHTTPEngine, seen: list[Any] | None = None) -> list[Any]:
    """Read a stream to its end; `seen` has what came before an error, too."""
    chunks: list[Any] = [] if seen is None else seen
    async for chunk in engine.stream(QUESTION, HEADERS):
        chunks.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error
    return chunks


async def test_what_is_sent(engine: OpenAIHTTPEngine, server: Server) -> None:
    params = MappingProxyType({"temperature": 0, "stop": ("a", "b"), "stream_options": MappingProxyType({"x": 1})})
    request = Request(
        id="r", model="small", messages=(MappingProxyType({"role": "user", "content": "\ud800"}),), params=params
    )
    await engine.complete(request, HEADERS)
    assert [chunk async for chunk in engine.stream(request, {})] == CHUNKS
    whole, streamed = server.bodies
    same = {"model": "small", "messages": [{"role": "user", "content": "\ud800"}], "temperature": 0, "stop": ["a", "b"]}
    assert whole == {**same, "stream": False}
    assert streamed == {**same, "stream": True, "stream_options": {"x": 1, "include_usage": True}}
    assert server.headers[0]["traceparent"] == HEADERS["traceparent"]
    assert server.headers[0]["Authorization"] == "Bearer key"
    assert "traceparent" not in server.headers[1]


async def test_params_do_not_replace_what_the_request_says(engine: OpenAIHTTPEngine, server: Server) -> None:
    params: dict[str, Any] = {"model": "other", "messages": [], "stream": True}
    await engine.complete(Request(id="r", model="small", messages=QUESTION.messages, params=params), {})
    (body,) = server.bodies
    assert (body["model"], body["stream"], len(body["messages"])) == ("small", False, 1)


async def test_another_model_and_no_key(url: str, server: Server) -> None:
    engine = OpenAIHTTPEngine(base_url=url + "/", model="large")
    await engine.start()
    await engine.complete(QUESTION, {})
    await engine.stop()
    assert server.bodies[0]["model"] == "large"
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 302])
async def test_a_refusal_carries_its_status_and_no_text(engine: OpenAIHTTPEngine, server: Server, status: int) -> None:
    error = {"error": {"message": f"cannot answer {SECRET}", "type": "rate_limit_error", "code": SECRET}}
    server.refuses(status, json.dumps(error))
    for attempt in (engine.complete(QUESTION, HEADERS), drained(engine)):
        with pytest.raises(EngineError, match=f"status {status} \\(rate_limit_error\\)") as caught:
            await attempt
        assert caught.value.status == status
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "<html>oops</html>", "[1]", '{"error": "overloaded"}', '{"detail": "x"}'])
async def test_a_refusal_may_be_of_any_shape(engine: OpenAIHTTPEngine, server: Server, text: str) -> None:
    server.refuses(500, text)
    with pytest.raises(EngineError, match="status 500") as caught:
        await engine.complete(QUESTION, HEADERS)
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ('{"choices": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no choices"),
        ('{"error": {"code": 503}}', "status 503"),
    ],
)
async def test_a_whole_answer_that_is_none(engine: OpenAIHTTPEngine, server: Server, text: str, problem: str) -> None:
    server.refuses(200, text)
    with pytest.raises(EngineError, match=problem):
        await engine.complete(QUESTION, HEADERS)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1}, []])
async def test_an_answer_without_usage(engine: OpenAIHTTPEngine, server: Server, usage: Any) -> None:
    server.refuses(200, json.dumps({**COMPLETION, "usage": usage}))
    answer = await engine.complete(QUESTION, HEADERS)
    assert (answer.input_tokens, answer.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("parts", "chunks", "problem"),
    [
        ([b""], 0, "before it was complete"),
        ([events(CHUNKS[0])], 1, "before it was complete"),
        ([events(*CHUNKS)], 3, "before it was complete"),
        ([events(CHUNKS[0]), b"data: {"], 1, "not JSON"),
        ([events(CHUNKS[0], "nonsense")], 1, "not JSON"),
        ([events("[1]")], 0, "not a JSON object"),
        ([events({"object": "x"})], 0, "no chunk"),
        (
            [events(CHUNKS[0], {"error": {"message": SECRET, "type": "overloaded", "code": 529}})],
            1,
            "529 \\(overloaded\\)",
        ),
        ([events(CHUNKS[0]), b"data: \xff\n\n"], 1, "malformed: an event is not UTF-8"),
    ],
)
async def test_a_stream_that_breaks_off(
    engine: OpenAIHTTPEngine, server: Server, parts: list[bytes], chunks: int, problem: str
) -> None:
    server.answers(*parts)
    seen: list[Any] = []
    with pytest.raises(EngineError, match=problem) as caught:
        await drained(engine, seen)
    assert seen == CHUNKS[:chunks]
    assert SECRET not in str(caught.value)


async def test_a_connection_that_is_cut(engine: OpenAIHTTPEngine, server: Server) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(events(CHUNKS[0]))
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answering = cut
    seen: list[Any] = []
    with pytest.raises(EngineError, match="connection to the engine failed"):
        await drained(engine, seen)
    assert seen in ([], CHUNKS[:1])  # an abort may overtake what was sent before it


async def test_leaving_a_stream_closes_its_connection(engine: OpenAIHTTPEngine, server: Server) -> None:
    server.answering = lambda request: server.send_and_hang(request, events(CHUNKS[0]))
    stream = engine.stream(QUESTION, HEADERS)
    assert await anext(stream) == CHUNKS[0]
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_cancelled_caller_closes_the_connection(engine: OpenAIHTTPEngine, server: Server) -> None:
    server.answering = lambda request: server.send_and_hang(request)
    task = asyncio.create_task(drained(engine))
    await asyncio.wait_for(server.asked.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_an_engine_that_says_nothing(url: str, server: Server) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server.answering = hang
    engine = OpenAIHTTPEngine(base_url=url, timeout_s=0.1)
    await engine.start()
    for attempt in (engine.complete(QUESTION, HEADERS), drained(engine)):
        with pytest.raises(EngineError, match=r"said nothing for 0\.1 s") as caught:
            await attempt
        assert caught.value.status is None
    await engine.stop()


async def test_an_engine_that_drips_is_given_up(url: str, server: Server) -> None:
    server.answering = lambda request: server.send_and_hang(request)
    engine = OpenAIHTTPEngine(base_url=url, timeout_s=0.2)
    await engine.start()
    with pytest.raises(EngineError, match=r"0\.2 s"):
        await engine.complete(QUESTION, HEADERS)
    await engine.stop()


async def test_an_engine_that_is_not_there(unused_tcp_port: int) -> None:
    engine = OpenAIHTTPEngine(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    await engine.start()
    for attempt in (engine.complete(QUESTION, HEADERS), drained(engine)):
        with pytest.raises(EngineError, match="cannot be reached"):
            await attempt
    (health,) = await engine.check_ready()
    assert not health.ok
    assert "engine.base_url" in health.fix
    await engine.stop()


async def test_a_request_that_is_no_json(engine: OpenAIHTTPEngine) -> None:
    for value in (float("nan"), object()):
        request = Request(id="r", model="small", messages=QUESTION.messages, params={"x": value})
        with pytest.raises(EngineError, match="cannot be written as JSON"):
            await engine.complete(request, HEADERS)


async def test_readiness(engine: OpenAIHTTPEngine, server: Server) -> None:
    assert isinstance(engine, Component)
    (health,) = await engine.check_ready()
    assert (health.ok, health.fix) == (True, "")
    server.models = 401
    (health,) = await engine.check_ready()
    assert not health.ok
    assert "401" in health.detail
    assert "engine.api_key" in health.fix


async def test_a_stopped_engine_says_so(engine: OpenAIHTTPEngine) -> None:
    await engine.stop()
    with pytest.raises(EngineError, match="start"):
        await engine.complete(QUESTION, HEADERS)
    (health,) = await engine.check_ready()
    assert not health.ok


async def test_many_at_a_time(engine: OpenAIHTTPEngine, server: Server) -> None:
    answers = await asyncio.gather(*(engine.complete(QUESTION, HEADERS) for _ in range(150)))
    assert len(answers) == len(server.bodies) == 150
