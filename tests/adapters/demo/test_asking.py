from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from forebay.adapters.demo.asking import MAX_TOKENS, Asker
from forebay.adapters.demo.sample import Ask
from forebay.middleware.errors import ForebayError

HEADERS = {"x-forebay-cache": "semantic", "x-forebay-id": "fb-1", "x-forebay-similarity": "0.9500"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


class Fake:
    """An OpenAI server that notes what it is asked."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.bypassed: list[str | None] = []
        self.status = 200
        self.headers = HEADERS
        self.url = ""


@pytest.fixture
def fake() -> Generator[Fake]:
    state = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.bodies.append(body)
            state.bypassed.append(self.headers.get("x-forebay-bypass"))
            head = {"id": "chatcmpl-1", "created": 1, "model": "m"}
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            if state.status != 200:
                self.end_headers()
                return
            self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
            self.end_headers()
            if not body.get("stream"):
                message = {"role": "assistant", "content": "Paris,\nFrance."}
                choices = [{"index": 0, "finish_reason": "stop", "message": message}]
                whole = {**head, "object": "chat.completion", "choices": choices, "usage": USAGE}
                self.wfile.write(json.dumps(whole).encode())
                return
            head["object"] = "chat.completion.chunk"
            for part in ("Paris,", " France."):
                choices = [{"index": 0, "delta": {"content": part}, "finish_reason": None}]
                self.wfile.write(f"data: {json.dumps({**head, 'choices': choices})}\n\n".encode())
            self.wfile.write(f"data: {json.dumps({**head, 'choices': [], 'usage': USAGE})}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
async def asker(fake: Fake) -> AsyncGenerator[Asker]:
    made = Asker(fake.url, "sk-test")
    yield made
    await made.close()


def ask(*, stream: bool, kind: str = "new") -> Ask:
    return Ask("q", "g", kind, ({"role": "user", "content": "Where?"},), stream, ())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_has_headers_text_and_usage(asker: Asker, fake: Fake, stream: bool) -> None:
    reply = await asker.one(ask(stream=stream))
    assert reply.ok
    assert (reply.cache, reply.request_id, reply.similarity) == ("semantic", "fb-1", 0.95)
    assert (reply.completion_id, reply.text) == ("chatcmpl-1", "Paris, France.")
    assert (reply.input_tokens, reply.output_tokens) == (3, 4)
    assert (reply.first_ms is not None) is stream
    assert 0 < (reply.first_ms or reply.latency_ms) <= reply.latency_ms
    assert (fake.bodies[0]["temperature"], fake.bodies[0]["max_tokens"]) == (0, MAX_TOKENS)


async def test_an_error_is_a_reply_with_its_status(asker: Asker, fake: Fake) -> None:
    fake.status, fake.headers = 429, {"x-forebay-cache": "shed"}
    reply = await asker.one(ask(stream=False))
    assert (reply.ok, reply.status, reply.cache) == (False, 429, "shed")
    assert len(fake.bodies) == 1


async def test_no_answer_at_all_is_status_0() -> None:
    nobody = Asker("http://127.0.0.1:9", "sk-test")
    reply = await nobody.one(ask(stream=False))
    await nobody.close()
    assert (reply.ok, reply.status) == (False, 0)


async def test_all_keeps_the_order(asker: Asker, fake: Fake) -> None:
    asks = [ask(stream=False), ask(stream=False, kind="concurrent"), ask(stream=True, kind="concurrent")]
    sizes = [len(batch) async for batch in asker.all(asks)]
    assert sizes == [1, 2]
    assert len(fake.bodies) == 3


async def test_warming_up_goes_past_the_cache(asker: Asker, fake: Fake) -> None:
    await asker.warm_up(10)
    assert fake.bypassed == ["1", "1"]
    assert [bool(body.get("stream")) for body in fake.bodies] == [False, True]


async def test_a_proxy_without_forebay_is_said(asker: Asker, fake: Fake) -> None:
    fake.headers = {}
    with pytest.raises(ForebayError, match="without forebay's header"):
        await asker.warm_up(0.1)
