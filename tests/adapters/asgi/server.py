"""A small OpenAI-compatible server: a real Starlette app, whose engine says a word when it is let."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
GUARDED = ("/v1",)


class Voice:
    """The engine.

    Args:
        words: of every answer.
        held: words come only as `go` lets them; otherwise at once.

    Attributes:
        bodies: what was asked, in order; `headers` with which.
        running: calls inside; `left` of those that ended because their client had gone.
    """

    def __init__(self, words: str = "one two three", *, held: bool = False) -> None:
        self.words = words.split()
        self.held = held
        self.more = asyncio.Semaphore(0)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.running = self.left = self.probes = 0
        self.fails: list[Exception] = []
        self.refuses: list[tuple[int, str]] = []
        self.breaks_after: int | None = None
        self.error_after: int | None = None
        self.more_headers: dict[str, str] = {}

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def say(self) -> AsyncGenerator[str]:
        self.running += 1
        done = False
        try:
            for at, word in enumerate(self.words):
                if self.held:
                    await self.more.acquire()
                if at == self.breaks_after:
                    raise OSError("broken")
                yield word
            done = True
        finally:
            self.running -= 1
            self.left += not done

    def go(self, words: int = 9) -> None:
        for _ in range(words):
            self.more.release()


def whole(voice: Voice, body: Mapping[str, Any], number: int) -> dict[str, Any]:
    text = " ".join(voice.words)
    head: dict[str, Any] = {"id": f"id-{number}", "created": 1, "model": body.get("model")}
    if "prompt" in body:
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
        return {**head, "object": "text_completion", "choices": [choice], "usage": USAGE}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}


async def events(voice: Voice, body: Mapping[str, Any], number: int) -> AsyncGenerator[str]:
    chat = "prompt" not in body
    head: dict[str, Any] = {"id": f"id-{number}", "created": 1, "model": body.get("model")}
    head["object"] = "chat.completion.chunk" if chat else "text_completion"

    def event(said: str | None, end: str | None = None) -> str:
        part: dict[str, Any] = {"delta": {} if said is None else {"content": said}} if chat else {"text": said or ""}
        return f"data: {json.dumps({**head, 'choices': [{'index': 0, **part, 'finish_reason': end}]})}\n\n"

    at = 0
    async for word in voice.say():
        if at == voice.error_after:
            yield 'data: {"error": {"message": "engine died", "code": 500}}\n\n'
            yield "data: [DONE]\n\n"
            return
        yield event(word if at == 0 else f" {word}")
        at += 1
    yield event(None, "stop")
    options: Mapping[str, Any] = body.get("stream_options") or {}
    if options.get("include_usage"):
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': USAGE})}\n\n"
    yield "data: [DONE]\n\n"


def cancelled_with_its_client(
    handler: Callable[[Request], Awaitable[Response | None]],
) -> Callable[[Request], Awaitable[Response]]:
    """As vLLM does it: the handler ends when its client leaves, and the client is sent nothing of use."""

    async def handle(request: Request) -> Response:
        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(handler(request)), asyncio.create_task(gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return (tasks[0].done() and tasks[0].result()) or JSONResponse(None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    return handle


def server(voice: Voice, *, keys: tuple[str, ...] = (), lifespan: Any = None) -> Starlette:
    """Return the app; with keys, only those are let in."""

    async def models(request: Request) -> Response:
        voice.probes += 1
        return JSONResponse({"object": "list", "data": [{"id": "tiny"}]})

    async def generate(request: Request) -> Response:
        body = json.loads(await request.body())
        voice.bodies.append(body)
        voice.headers.append(dict(request.headers))
        number = voice.calls
        if voice.fails:
            raise voice.fails.pop(0)
        if voice.refuses:
            status, text = voice.refuses.pop(0)
            return Response(text, status, {"x-why": "policy"}, media_type="application/json")
        if body.get("stream"):
            return StreamingResponse(
                events(voice, body, number), headers=voice.more_headers, media_type="text/event-stream"
            )
        async for _ in voice.say():
            pass
        return JSONResponse(whole(voice, body, number), headers=voice.more_headers)

    async def echo(request: Request) -> Response:
        return Response(await request.body(), headers={"x-method": request.method})

    app = Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/chat/completions", cancelled_with_its_client(generate), methods=["POST"]),
            Route("/v1/completions", cancelled_with_its_client(generate), methods=["POST"]),
            Route("/echo", echo, methods=["GET", "POST"]),
        ],
        lifespan=lifespan,
    )
    if keys:
        app.add_middleware(BearerAuth, tokens=list(keys))
    return app


class BearerAuth:
    """As vLLM's: the paths under /v1 want one of these keys."""

    def __init__(self, app: ASGIApp, tokens: list[str]) -> None:
        self.app = app
        self.tokens = [hashlib.sha256(token.encode()).digest() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")[2]
            found = hashlib.sha256(given).digest()
            if not any(secrets.compare_digest(found, token) for token in self.tokens):
                await JSONResponse({"error": "Unauthorized"}, 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)
