"""A scripted OpenAI-compatible engine on a loopback port, in a thread of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

FINGERPRINT = "fp_upstream"
MIDDLE = 3
"""Chunks that are sent before a `Reply` holds or breaks off in the middle."""


class Hold:
    """Makes the engine wait until the test lets it go on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def release(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        # a thread each would outlive a cancelled handler, so look instead
        while not self._event.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@dataclass(slots=True)
class Reply:
    """How the engine answers one request.

    Attributes:
        hold: waits before anything is sent.
        hold_middle: waits in the middle of a stream.
        cut: closes the connection in the middle of a stream.
        raw: a body in place of the answer.
        takes_s: how long computing takes, and once more in the middle of a stream.
    """

    text: str | None = None
    finish_reason: str | None = "stop"
    status: int = 200
    raw: str | None = None
    hold: Hold | None = None
    hold_middle: Hold | None = None
    cut: bool = False
    takes_s: float = 0.0


@dataclass(slots=True)
class Call:
    """One request the engine got."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    prompt: str
    done: bool = False
    left: bool = False


@dataclass(slots=True)
class _Script:
    replies: list[Reply] = field(default_factory=list[Reply])

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Upstream:
    """The engine; it runs while its ``with`` block is open.

    Args:
        fixed: equal requests get byte-equal answers; otherwise each answer has an id of its own.
    """

    def __init__(self, *, fixed: bool = False) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self._fixed = fixed
        self._scripts: dict[str, _Script] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    def on(self, prompt: str, *replies: Reply) -> None:
        """Answer this prompt with these replies in turn; the last one is repeated."""
        self._scripts[prompt] = _Script(list(replies))

    def of(self, prompt: str) -> list[Call]:
        """Return the calls with this last message."""
        with self._changed:
            return [call for call in self.calls if call.prompt == prompt]

    async def until(self, predicate: Callable[[Sequence[Call]], bool], timeout_s: float = 20.0) -> None:
        """Wait until the calls so far satisfy a predicate."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: predicate(self.calls), timeout_s)

        assert await asyncio.to_thread(wait), f"not reached after {timeout_s} s; {len(self.calls)} calls"

    async def until_called(self, prompt: str, times: int = 1) -> None:
        await self.until(lambda calls: sum(call.prompt == prompt for call in calls) >= times)

    async def until_left(self, prompt: str) -> None:
        await self.until(lambda calls: any(call.prompt == prompt and call.left for call in calls))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/{rest:.*}", self._other)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        addresses: Any = runner.addresses
        self.port = addresses[0][1]
        self._ready.set()
        await self._closing.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        messages: list[dict[str, Any]] = body.get("messages") or [{}]
        content = messages[-1].get("content")
        prompt = content if isinstance(content, str) else json.dumps(content)
        call = Call(request.path, dict(request.headers), body, prompt)
        with self._changed:
            self.calls.append(call)
            number = len(self.calls)
            self._changed.notify_all()
        script = self._scripts.get(prompt)
        reply = script.next() if script is not None else Reply()
        try:
            if reply.hold is not None:
                await reply.hold.wait()
            await asyncio.sleep(reply.takes_s)
            if reply.status != 200:
                error = {"error": {"message": "scripted failure", "type": "server_error", "code": reply.status}}
                return web.json_response(error, status=reply.status)
            if reply.raw is not None:
                return web.Response(text=reply.raw, content_type="application/json")
            answer = self._answer(body, prompt, reply, number)
            if body.get("stream"):
                return await self._stream(request, answer, body, reply)
            return web.json_response(answer)
        except (asyncio.CancelledError, ConnectionResetError):
            call.left = True
            raise
        finally:
            with self._changed:
                call.done = not call.left
                self._changed.notify_all()

    def _answer(self, body: dict[str, Any], prompt: str, reply: Reply, number: int) -> dict[str, Any]:
        digest = hashlib.sha256(json.dumps(body.get("messages"), sort_keys=True).encode()).hexdigest()[:12]
        text = reply.text if reply.text is not None else f"answer {digest} to a question of {len(prompt)} characters"
        message: dict[str, Any] = {"role": "assistant", "content": text}
        finish = reply.finish_reason
        if body.get("tools"):
            name = body["tools"][0]["function"]["name"]
            call = {"id": f"call_{digest}", "type": "function"}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call, "function": {"name": name, "arguments": '{"city": "Oslo", "days": 3}'}}],
            }
            finish = "tool_calls" if finish == "stop" else finish
        elif body.get("response_format"):
            message["content"] = json.dumps({"answer": digest, "sure": True})
        choices: list[dict[str, Any]] = []
        for index in range(body.get("n") or 1):
            choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": finish}
            if body.get("logprobs"):
                tokens = [
                    {"token": word, "logprob": -0.25, "bytes": list(word.encode()), "top_logprobs": []}
                    for word in _pieces(text)
                ]
                choice["logprobs"] = {"content": tokens, "refusal": None}
            choices.append(choice)
        words = len(text.split())
        return {
            "id": f"chatcmpl-{digest}" if self._fixed else f"chatcmpl-{digest}-{number}",
            "object": "chat.completion",
            "created": 1_700_000_000 + (0 if self._fixed else number),
            "model": str(body.get("model")),
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
            "usage": {"prompt_tokens": 11, "completion_tokens": words, "total_tokens": 11 + words},
        }

    async def _stream(
        self, request: web.Request, answer: dict[str, Any], body: dict[str, Any], reply: Reply
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, chunk in enumerate(_chunks(answer, body)):
            if number == MIDDLE:
                if reply.hold_middle is not None:
                    await reply.hold_middle.wait()
                await asyncio.sleep(reply.takes_s)
                if reply.cut and request.transport is not None:
                    request.transport.close()
                    return response
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _other(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        with self._changed:
            self.calls.append(Call(request.path, dict(request.headers), body, "", done=True))
            number = len(self.calls)
            self._changed.notify_all()
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if request.path == "/v1/embeddings":
            item = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}
            return web.json_response({"object": "list", "data": [item], "model": "tiny", "usage": usage})
        if request.path == "/v1/completions":
            choice = {"index": 0, "text": f"text {number}", "finish_reason": "stop", "logprobs": None}
            head = {"id": f"cmpl-{number}", "object": "text_completion", "created": int(time.time()), "model": "tiny"}
            return web.json_response({**head, "choices": [choice], "usage": usage})
        if request.path == "/v1/responses":
            return web.json_response(_response(number))
        return web.json_response({"error": {"message": "no such route"}}, status=404)


def _pieces(text: str) -> list[str]:
    return [word if index == 0 else f" {word}" for index, word in enumerate(text.split(" "))]


def _chunks(answer: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {k: v for k, v in answer.items() if k not in ("choices", "usage")} | {"object": "chat.completion.chunk"}
    out: list[dict[str, Any]] = []

    def add(index: int, delta: dict[str, Any], **more: Any) -> None:
        out.append({**head, "choices": [{"index": index, "delta": delta, "finish_reason": None, **more}]})

    for choice in answer["choices"]:
        index, message = choice["index"], choice["message"]
        add(index, {"role": "assistant", "content": "" if message["content"] else None})
        logprobs: dict[str, Any] = choice.get("logprobs") or {}
        tokens: list[Any] = logprobs.get("content") or []
        for at, piece in enumerate(_pieces(message["content"] or "")):
            more: dict[str, Any] = {"logprobs": {"content": [tokens[at]], "refusal": None}} if tokens else {}
            if piece:
                add(index, {"content": piece}, **more)
        for at, call in enumerate(message.get("tool_calls") or ()):
            arguments: str = call["function"]["arguments"]
            function = {"name": call["function"]["name"], "arguments": ""}
            add(index, {"tool_calls": [{"index": at, "id": call["id"], "type": "function", "function": function}]})
            for part in (arguments[:9], arguments[9:]):
                add(index, {"tool_calls": [{"index": at, "function": {"arguments": part}}]})
        if choice["finish_reason"] is not None:
            last: dict[str, Any] = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
            out.append({**head, "choices": [last]})
    options: dict[str, Any] = body.get("stream_options") or {}
    if options.get("include_usage"):
        out.append({**head, "choices": [], "usage": answer["usage"]})
    return out


def _response(number: int) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "output_text", "text": f"response {number}", "annotations": []}
    message: dict[str, Any] = {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": "tiny",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "usage": {
            "input_tokens": 5,
            "output_tokens": 2,
            "total_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }
