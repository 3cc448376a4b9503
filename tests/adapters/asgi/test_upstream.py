"""The reverse proxy: a server over the network, byte for byte, with its own headers, and told when a client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from forebay.adapters.asgi.command import base_url, run
from forebay.adapters.asgi.upstream import Upstream
from forebay.middleware.errors import ConfigError
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, running, runtime_of, settled, until

TEXT = "one two three"


class Answers(httpx.AsyncBaseTransport):
    """A network on which every request gets one answer."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        return self.answer(request)


@contextlib.contextmanager
def served(app: Any) -> Generator[str]:
    """Serve an app with a real uvicorn; yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="on", log_level="error", timeout_graceful_shutdown=5)
        made = uvicorn.Server(config)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not made.started:
                assert thread.is_alive()
                thread.join(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            made.should_exit = True
            thread.join(20)


async def test_requests_and_responses_pass_with_their_own_headers() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = [
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Content-Encoding", "gzip"),
            ("Server", "theirs"),
        ]
        return httpx.Response(418, headers=headers, stream=httpx.ByteStream(b"\x1f\x8bnot really"))

    network = Answers(answer)
    app = Upstream("http://engine:9000/base", transport=network)
    async with running(app):
        headers = {
            "host": "front.example",
            "connection": "keep-alive, x-mine",
            "x-mine": "1",
            "te": "trailers",
            "accept": "*/*",
            "x-forwarded-for": "192.0.2.1",
        }
        client = await Client(app, b"body", path="/v1/x?a=b&c=%20d", headers=headers, cut=[1, 3]).done()
    (request,) = network.requests
    assert (request.method, str(request.url), network.bodies) == (
        "POST",
        "http://engine:9000/base/v1/x?a=b&c=%20d",
        [b"body"],
    )
    assert dict(request.headers) == {
        "host": "engine:9000",
        "accept": "*/*",
        "content-type": "application/json",
        "x-forwarded-for": "192.0.2.1, 10.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "front.example",
        "transfer-encoding": "chunked",
    }
    assert client.status == 418
    assert client.raw == b"\x1f\x8bnot really"  # as it was encoded
    assert client.messages[0]["headers"] == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-encoding", b"gzip"),
        (b"server", b"theirs"),
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [(httpx.ConnectError("x"), 502), (httpx.ConnectTimeout("x"), 504), (httpx.RemoteProtocolError("x"), 502)],
)
async def test_a_server_that_cannot_be_reached_is_told_of(error: Exception, status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    app = Upstream("http://engine", transport=Answers(answer))
    async with running(app):
        client = await Client(app, asked()).done()
    assert (client.status, client.json["error"]["code"]) == (status, status)
    assert "engine" not in client.json["error"]["message"]


async def test_a_server_that_breaks_off_leaves_no_whole_response() -> None:
    class Breaks(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise httpx.ReadError("gone")

    app = Upstream("http://engine", transport=Answers(lambda _: httpx.Response(200, stream=Breaks())))
    async with running(app):
        client = Client(app, asked())
        with pytest.raises(httpx.ReadError):
            await client.done()
    assert client.raw == b"data: 1\n\n"
    assert not client.complete


async def test_one_who_leaves_in_the_middle_of_its_body_ends_the_call() -> None:
    network = Answers(lambda _: httpx.Response(200))
    app = Upstream("http://engine", transport=network)
    messages = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    async with running(app):
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/v1/x",
            "raw_path": b"/v1/x",
            "headers": [],
            "client": None,
        }
        await app(scope, receive, send)
    assert network.bodies == []


async def test_sockets_are_refused() -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await Upstream("http://engine")({"type": "websocket"}, asyncio.Queue[Any]().get, send)
    assert said == [{"type": "websocket.close", "code": 1000}]


@contextlib.asynccontextmanager
async def both(voice: Voice, folder: Path) -> AsyncGenerator[Any]:
    """A front before a server on a real network."""
    with served(server(voice, keys=("sk-one",))) as url:
        async with fronted(Upstream(url), folder) as app:
            yield app


async def test_over_a_network_hits_twins_and_keys_are_as_in_one_process(tmp_path: Path) -> None:
    voice = Voice()
    async with both(voice, tmp_path) as app:
        assert (await Client(app, asked()).done()).status == 401
        twins = [Client(app, asked(stream=True), key="sk-one") for _ in range(5)]
        for twin in twins:
            assert (await twin.done()).text == TEXT
        assert sorted(str(twin.cache) for twin in twins) == ["inflight"] * 4 + ["miss"]
        await settled(app)
        assert (await Client(app, asked(stream=True), key="sk-one").done()).cache == "exact"
        assert voice.calls == 1
        assert "traceparent" not in voice.headers[0]
        alive = await Client(app, b"ping", path="/echo", key="sk-one").done()
        assert (alive.raw, alive.cache, alive.headers["x-method"]) == (b"ping", None, "POST")


@pytest.mark.parametrize("stream", [False, True])
async def test_over_a_network_a_client_that_leaves_ends_the_servers_work(stream: bool, tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with both(voice, tmp_path) as app:
        client = Client(app, asked(stream=stream), key="sk-one")
        await until(lambda: voice.running == 1)
        client.leave()
        await client.done()
        async with asyncio.timeout(1.0):
            await until(lambda: voice.running == 0)
        assert (voice.left, runtime_of(app).pipeline.inflight) == (1, 0)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://tgi/v1/", "http://tgi"),
        ("https://host/a/b/v1", "https://host/a/b"),
    ],
)
def test_an_upstream_is_named_with_or_without_its_version(text: str, base: str) -> None:
    assert base_url(text) == base


@pytest.mark.parametrize(
    "text", ["", "tgi:80", "ftp://x", "http://", "http://x:0", "http://x:y", "http://a:b@c", "http://x?k=1"]
)
def test_what_is_no_upstream_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="--upstream"):
        base_url(text)


def test_the_command_checks_before_it_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("front: {auth_paht: /x}\n")
    with pytest.raises(ConfigError, match="auth_path"):
        run(["--upstream", "http://x", "--config", str(wrong)])
    assert run(["--port", "0"]) == 2
    assert run(["--help"]) == 0
    assert "--upstream" in capsys.readouterr().out
