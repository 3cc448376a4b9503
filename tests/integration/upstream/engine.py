"""The engine: reads requests, follows the scripts, keeps book."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.integration.upstream import chat, completions, embeddings, messages, responses
from tests.integration.upstream.answer import compute, digest_of
from tests.integration.upstream.script import Call, Reply, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from tests.integration.upstream.answer import Question

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")


class Upstream:
    """The engine; it runs while its ``with`` block is open.

    Args:
        fixed: equal requests get byte-equal answers; otherwise each answer has an id of its own.

    Attributes:
        peak: the most requests that were inside at once; may be set back to 0.
        metrics: what it says at ``/metrics``, None for nothing.
    """

    def __init__(self, *, fixed: bool = False) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self.peak = 0
        self.metrics: str | None = None
        self._inside = 0
        self._fixed = fixed
        self._scripts: dict[str, Script] = {}
        self._conversations: dict[str, str] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    @property
    def url(self) -> str:
        """Base address for OpenAI's clients."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """Base address for Anthropic's clients."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._loop.is_closed():  # a test may have ended it
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    def on(self, prompt: str, *replies: Reply) -> None:
        """Answer this prompt with these replies in turn; the last one is repeated."""
        self._scripts[prompt] = Script(list(replies))

    def of(self, prompt: str) -> list[Call]:
        """Return the calls with this last turn."""
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
        app.router.add_get("/metrics", self._metrics)
        for path in PATHS:
            app.router.add_post(path, self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        addresses: Any = runner.addresses
        self.port = addresses[0][1]
        self._ready.set()
        await self._closing.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        tiny = {"id": "tiny", "object": "model", "created": 1_700_000_000, "owned_by": "upstream"}
        return web.json_response({"object": "list", "data": [tiny]})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics or "", status=404 if self.metrics is None else 200)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        path = request.path
        call = Call(path, dict(request.headers), body, "")
        question: Question | None = None
        problem = ""
        try:
            question = self._read(path, body)
            prompts = list(question.prompts)
            call.prompt = prompts[0] if len(prompts) == 1 else json.dumps(prompts)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            problem = f"the request cannot be read: {type(error).__name__}: {error}"
        with self._changed:
            self.calls.append(call)
            number = len(self.calls)
            self._inside += 1
            self.peak = max(self.peak, self._inside)
            self._changed.notify_all()
        try:
            if question is None:
                return _error(path, 400, problem)
            script = self._scripts.get(call.prompt)
            reply = script.next() if script is not None else Reply()
            return await self._follow(request, call, question, reply, number)
        except (asyncio.CancelledError, ConnectionResetError):
            call.left = True
            raise
        finally:
            with self._changed:
                self._inside -= 1
                call.done = not call.left
                self._changed.notify_all()

    def _read(self, path: str, body: dict[str, Any]) -> Question:
        body["model"]  # no endpoint can do without
        match path:
            case "/v1/chat/completions":
                return chat.read(body)
            case "/v1/completions":
                return completions.read(body)
            case "/v1/messages":
                return messages.read(body)
            case "/v1/responses":
                before: str | None = body.get("previous_response_id")
                return responses.read(body, self._conversations[before] if before else None)
            case _:
                return embeddings.read(body)

    async def _follow(
        self, request: web.Request, call: Call, question: Question, reply: Reply, number: int
    ) -> web.StreamResponse:
        if reply.hold is not None:
            await reply.hold.wait()
        await asyncio.sleep(reply.takes_s)
        if reply.status != 200:
            return _error(call.path, reply.status, "scripted failure")
        if reply.raw is not None:
            return web.Response(text=reply.raw, content_type="application/json")
        body = call.body
        if call.path == "/v1/embeddings":
            return web.json_response(embeddings.whole(body))
        endpoint = {
            "/v1/chat/completions": chat,
            "/v1/completions": completions,
            "/v1/messages": messages,
            "/v1/responses": responses,
        }[call.path]
        answer = compute(question, reply, str(body.get("model")), number, fixed=self._fixed)
        done = endpoint.whole(answer, body)
        call.id = done["id"]
        if endpoint is responses:
            self._conversations[call.id] = digest_of([question.asked, answer.digest])
        headers = {"x-request-id": f"req_{answer.mark}"}
        if not body.get("stream"):
            return web.json_response(done, headers=headers)
        return await _send(request, endpoint.stream(answer, body), reply, headers)


async def _send(
    request: web.Request, events: Sequence[bytes], reply: Reply, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
    await response.prepare(request)
    for number, block in enumerate(reply.edit(list(events)) if reply.edit else events):
        if number == reply.middle:
            if reply.hold_middle is not None:
                await reply.hold_middle.wait()
            await asyncio.sleep(reply.takes_s)
            if reply.cut and request.transport is not None:
                request.transport.close()
                return response
        if reply.pace_s:
            await asyncio.sleep(reply.pace_s)
        await response.write(block)
    await response.write_eof()
    return response


def _error(path: str, status: int, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    if path == "/v1/messages":
        kind = "invalid_request_error" if status < 500 else "api_error"
        return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)
    return web.json_response({"error": {"message": message, "type": kind, "code": status}}, status=status)
