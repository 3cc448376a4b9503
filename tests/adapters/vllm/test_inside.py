"""The HTTP side of a wrapped engine's server: what it tells the engine, and when and how it lets a response go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from forebay.adapters.asgi.status import STATUS
from forebay.adapters.vllm import inside
from forebay.adapters.vllm.call import CALL, Call
from forebay.adapters.vllm.inside import Inside
from forebay.middleware.errors import ShedError
from forebay.middleware.records import Ending
from forebay.middleware.runtime import Runtime
from forebay.testing import chat, started

CHAT = "/v1/chat/completions"
Scripted = Callable[[Any, Any, Any], Awaitable[None]]
MESSAGES = [{"role": "user", "content": "hello"}]
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


@pytest.fixture
async def runtime() -> AsyncGenerator[Runtime]:
    async with started({"cache": {"semantic": "off"}}) as made:
        yield made


class Client:
    """Asks an app behind `Inside`, and keeps what it is sent."""

    def __init__(self, app: Scripted, runtime: Runtime | None, *, path: str = CHAT, method: str = "POST") -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.to_receive: list[dict[str, Any]] = []
        self.answered = asyncio.Event()
        state = SimpleNamespace(engine_client=SimpleNamespace(runtime=runtime) if runtime else object())
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "app": SimpleNamespace(state=state),
        }
        self._app = Inside(app)

    async def ask(self, body: object = None, **headers: str) -> None:
        self.scope["headers"] += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        half = len(raw) // 2
        self.to_receive = [
            {"type": "http.request", "body": raw[:half], "more_body": True},
            {"type": "http.request", "body": raw[half:], "more_body": False},
            {"type": "http.disconnect"},
        ]
        await self._app(self.scope, self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        return self.to_receive.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        self.answered.set()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def call_in(runtime: Runtime, body: object = None, *, path: str = CHAT, **headers: str) -> Call:
    """Return the call that the engine would see."""
    seen: list[Call | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(CALL.get())
        await send(dict(START))
        await send({"type": "http.response.body", "body": b""})

    client = Client(app, runtime, path=path)
    await client.ask(body if body is not None else {"messages": MESSAGES}, **headers)
    assert CALL.get() is None
    (call,) = seen
    assert call is not None
    return call


async def test_a_chats_messages_are_told_and_all_else_that_makes_its_prompt(runtime: Runtime) -> None:
    call = await call_in(
        runtime, {"messages": MESSAGES, "model": "m", "tools": [], "priority": 3}, x_team="red", x_forebay_bypass="1"
    )
    assert call.messages == MESSAGES
    assert call.params == {"model": "m", "tools": [], "priority": 3}
    assert call.hints["header.x-team"] == "red"
    assert call.hints["body.priority"] == "3"
    assert call.controls.bypass
    assert call.answers_refusals


async def test_the_callers_trace_is_told_and_nothing_else_of_its_headers(runtime: Runtime) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    call = await call_in(runtime, traceparent=parent, tracestate="a=b", authorization="Bearer a")
    assert call.trace == {"traceparent": parent, "tracestate": "a=b"}


async def test_a_bare_prompt_is_nobodys_question(runtime: Runtime) -> None:
    call = await call_in(runtime, {"prompt": "Once", "priority": 1}, path="/v1/completions")
    assert call.messages == ()
    assert call.hints["body.priority"] == "1"


async def test_of_other_paths_the_body_is_left_alone(runtime: Runtime) -> None:
    call = await call_in(runtime, {"messages": MESSAGES}, path="/v1/responses", authorization="Bearer a")
    assert (call.messages, call.params) == ((), {})
    assert call.tenant != "default"


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", {"messages": "hello"}, {"messages": [1]}])
async def test_what_cannot_be_read_is_the_servers_to_refuse(runtime: Runtime, body: object) -> None:
    assert (await call_in(runtime, body)).messages == ()


async def test_keys_are_tenants_and_no_key_is_kept(runtime: Runtime) -> None:
    tenants = [(await call_in(runtime, authorization=f"Bearer {key}")).tenant for key in ("one", "two", "one")]
    assert tenants[0] == tenants[2] != tenants[1]
    assert "one" not in tenants[0]
    assert (await call_in(runtime)).tenant == "default"


async def test_a_call_that_cannot_be_told_of_is_asked_all_the_same(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(inside, "tenant_of", broken)
    call = await call_in(runtime)
    assert call.controls.no_store
    assert call.controls.no_cache


async def test_the_app_receives_the_body_as_it_came_and_then_that_the_client_left(runtime: Runtime) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive() for _ in range(3)])

    await Client(app, runtime).ask({"messages": MESSAGES})
    assert [message["type"] for message in seen] == ["http.request", "http.request", "http.disconnect"]
    assert json.loads(seen[0]["body"] + seen[1]["body"]) == {"messages": MESSAGES}


async def test_a_longer_body_than_the_limit_passes_through_whole() -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = CALL.get()
        assert call is not None
        assert call.messages == ()
        seen.extend([(await receive())["body"] for _ in range(2)])

    async with started({"front": {"body_limit_bytes": 10}}) as runtime:
        await Client(app, runtime).ask({"messages": MESSAGES})
    assert json.loads(b"".join(seen)) == {"messages": MESSAGES}


@pytest.mark.parametrize(
    "change", [{"method": "GET"}, {"method": "OPTIONS"}, {"type": "websocket"}, {"type": "lifespan"}, {"app": None}]
)
async def test_all_else_goes_by(runtime: Runtime, change: dict[str, Any]) -> None:
    given: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.extend([scope, receive, send, CALL.get()])

    client = Client(app, runtime)
    client.scope.update(change)
    await client.ask()
    assert given == [client.scope, client.receive, client.send, None]


async def test_an_engine_that_is_not_wrapped_is_left_alone() -> None:
    given: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(CALL.get())

    await Client(app, None).ask()
    assert given == [None]


async def test_a_stream_begins_when_it_is_decided_and_says_what_became_of_it(runtime: Runtime) -> None:
    decide, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = CALL.get()
        assert call is not None
        await send(dict(START))
        await decide.wait()
        flight = runtime.pipeline.begin(chat("hello"))
        call.flights.append(flight)
        call.decided.set()
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        runtime.pipeline.finish(flight, Ending.COMPLETE)

    client = Client(app, runtime)
    asking = asyncio.create_task(client.ask({"messages": MESSAGES}))
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.sent == []
    decide.set()
    async with asyncio.timeout(5):
        await client.answered.wait()
    assert client.headers["x-forebay-cache"] == "miss"
    assert client.headers["x-forebay-id"]
    assert len(client.sent) == 1
    go_on.set()
    await asking
    assert [message["type"] for message in client.sent] == ["http.response.start", *["http.response.body"] * 2]


async def test_a_response_that_asks_no_engine_is_sent_with_its_body(runtime: Runtime) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(dict(START))
        await send({"type": "http.response.body", "body": b"{}"})

    client = Client(app, runtime, path="/tokenize")
    await client.ask({})
    assert client.body == b"{}"
    assert "x-forebay-cache" not in client.headers


@pytest.mark.parametrize("early", [True, False])
async def test_a_refused_call_gets_its_status_whatever_the_server_says(runtime: Runtime, early: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = CALL.get()
        assert call is not None
        if early:
            await send({**START, "headers": [(b"access-control-allow-origin", b"*"), (b"x-other", b"1")]})
        call.shed = ShedError("queue_full", status=429, retry_after_s=3)
        call.decided.set()
        if not early:
            await send({**START, "status": 500, "headers": [(b"access-control-allow-origin", b"*")]})
        await send({"type": "http.response.body", "body": b'data: {"error"}\n\n', "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    client = Client(app, runtime)
    await client.ask({"messages": MESSAGES})
    assert client.status == 429
    assert client.headers["retry-after"] == "3"
    assert client.headers["x-forebay-cache"] == "shed"
    assert client.headers["access-control-allow-origin"] == "*"
    assert "x-other" not in client.headers
    assert json.loads(client.body)["error"]["code"] == "queue_full"
    assert len(client.sent) == 2


async def test_a_refusal_after_the_stream_began_is_the_servers_to_tell(runtime: Runtime) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = CALL.get()
        assert call is not None
        await send(dict(START))
        await send({"type": "http.response.body", "body": b": alive\n\n", "more_body": True})
        call.shed = ShedError("queue_timeout", status=429, retry_after_s=1)
        call.decided.set()
        await send({"type": "http.response.body", "body": b"data: error\n\n", "more_body": False})

    client = Client(app, runtime)
    await client.ask({"messages": MESSAGES})
    assert (client.status, client.body) == (200, b": alive\n\ndata: error\n\n")


async def test_an_app_that_raises_has_said_nothing(runtime: Runtime) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(dict(START))
        raise RuntimeError

    client = Client(app, runtime)
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError):
        await client.ask({"messages": MESSAGES})
    assert client.sent == []
    assert asyncio.all_tasks() == before


async def test_a_client_that_left_while_it_waited_is_no_error(runtime: Runtime) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = CALL.get()
        assert call is not None
        await send(dict(START))
        call.decided.set()

    async def gone(message: MutableMapping[str, Any]) -> None:
        raise OSError(message["type"])

    client = Client(app, runtime)
    client.send = gone  # type: ignore[method-assign]
    await client.ask({"messages": MESSAGES})


@pytest.mark.parametrize("root", ["", "/behind"])
async def test_the_status_is_for_those_whom_the_server_knows(runtime: Runtime, root: str) -> None:
    asked: list[tuple[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append((scope["method"], scope["path"]))
        assert (await receive())["more_body"] is False
        known = (b"authorization", b"Bearer right") in scope["headers"]
        await send({"type": "http.response.start", "status": 200 if known else 401, "headers": [(b"vary", b"Origin")]})
        await send({"type": "http.response.body", "body": b'{"who": "server"}'})

    for key, status in (("right", 200), ("wrong", 401)):
        client = Client(app, runtime, path=f"{root}{STATUS}", method="GET")
        client.scope["root_path"] = root
        await client.ask(authorization=f"Bearer {key}")
        assert client.status == status
        assert client.headers["vary"] == "Origin"
        found = json.loads(client.body)
        assert found.get("components", {}).get("store") == ("memory" if status == 200 else None)
    assert asked == [("GET", f"{root}/v1/models")] * 2
