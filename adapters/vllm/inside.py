"""What the HTTP side of a wrapped engine's server adds: what is asked and by whom, and headers that say what became of it.

``forebay vllm serve`` gives it to vLLM as the outermost middleware. The answers themselves come from the engine, behind
vLLM's own authentication.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ...middleware.inbound import controls_in, hints_in
from ...middleware.shown import headers_of, headers_of_refusal
from ...middleware.telemetry import TRACE_HEADERS
from ..asgi.answers import encoded, whole
from ..asgi.body import Incoming
from ..asgi.endpoints import ENDPOINTS
from ..asgi.inner import inner_scope
from ..asgi.requests import ANYBODY, body_of, tenant_of
from ..asgi.source import START
from ..asgi.status import STATUS, status_of
from ..asgi.types import headers_in, path_of, text_headers
from .call import Call, calling
from .requests import UNKEPT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...middleware.runtime import Runtime
    from ..asgi.types import App, Headers, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
_CHAT: Final = "/v1/chat/completions"
_SUCCESS: Final = range(200, 300)
_ECHOED: Final = (b"access-control-", b"vary", b"x-request-id")
"""Of the response that a refusal stands in for: what a browser needs to read it, and who it was."""


class Inside:
    """An ASGI app around vLLM's. Where its engine is not wrapped, it does nothing."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's scope, as ASGI has it."""
        runtime = _runtime_of(scope) if scope["type"] == "http" else None
        if runtime is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "GET" and path_of(scope) == STATUS:
            await self._status(scope, runtime, send)
        elif scope["method"] == "POST":
            await self._call(scope, runtime, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _call(self, scope: Scope, runtime: Runtime, receive: Receive, send: Send) -> None:
        incoming, path = Incoming(receive), path_of(scope)
        body = await incoming.body(runtime.config.front.body_limit_bytes) if path in ENDPOINTS else None
        try:
            call = call_of(scope, body, runtime)
        except Exception as error:  # what cannot be read is not kept, but waits its turn like the others
            runtime.telemetry.dependency_error("vllm", type(error).__name__)
            call = Call(controls=UNKEPT, answers_refusals=True)
        held = Held(send, call, path)
        with calling(call):
            try:
                await self._app(scope, incoming.again, held.send)
            finally:
                await held.end()

    async def _status(self, scope: Scope, runtime: Runtime, send: Send) -> None:
        """Say how forebay is to whom the server lists its models; what it says to others, say, too."""
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def take(message: Message) -> None:
            said.append(message)

        path = f"{scope.get('root_path', '')}{runtime.config.front.auth_path}"
        await self._app(inner_scope(scope, {}, path=path, raw_path=path.encode(), query_string=b""), receive, take)
        if said and said[0].get("status") in _SUCCESS:
            said = list(whole(await status_of(runtime), _echoed(said[0])))
        for message in said:
            await send(message)


def call_of(scope: Scope, body: bytes | None, runtime: Runtime) -> Call:
    """Return what a request says to forebay.

    Args:
        body: None where it was not read.
    """
    path, headers, front = path_of(scope), text_headers(scope), runtime.config.front
    fields = (body_of(headers, body) if body is not None else None) or {}
    # in other words only a chat can be asked again: of a bare prompt nobody knows which part of it is the question
    messages = (ENDPOINTS[path].messages(fields) or ()) if path == _CHAT else ()
    tenant = tenant_of(headers, scope.get("query_string", b""), runtime.keyring, front.tenant_header)
    return Call(
        messages=messages,
        params={name: value for name, value in fields.items() if name != "messages"},
        tenant=tenant,
        labels={} if tenant == ANYBODY else {"key": tenant[:12]},
        controls=controls_in(headers),
        hints=hints_in(headers, fields),
        trace={name: headers[name] for name in TRACE_HEADERS if name in headers},
        answers_refusals=True,
    )


class Held:
    """Sends a response with our headers: once it is decided what becomes of the call, or as soon as there is a part of the body.

    Where the call was refused and nothing was sent yet, a refusal with its status is sent in place of the response.
    """

    def __init__(self, send: Send, call: Call, path: str) -> None:
        self._send = send
        self._call = call
        self._path = path
        self._start: Message | None = None
        self._sending = asyncio.Lock()
        self._waiting: asyncio.Task[None] | None = None
        self._refused = False

    async def send(self, message: Message) -> None:
        """Take a message of the app's."""
        if message["type"] == START:
            self._start = message
            if self._call.decided.is_set():
                await self._begin()
            else:
                self._waiting = asyncio.create_task(self._begin_when_decided())
            return
        await self._begin()
        if not self._refused:
            await self._send(message)

    async def end(self) -> None:
        """The app has returned, or raised: nothing more is sent."""
        if self._waiting is not None and not self._waiting.done():
            if not self._call.decided.is_set():
                self._waiting.cancel()
            await asyncio.wait({self._waiting})

    async def _begin_when_decided(self) -> None:
        await self._call.decided.wait()
        try:
            await self._begin()
        except OSError:
            log.debug("the client has left")

    async def _begin(self) -> None:
        async with self._sending:
            start, self._start = self._start, None
            if start is None:
                return
            call = self._call
            if call.shed is not None:
                self._refused = True
                name = call.flights[-1].request.id if call.flights else ""
                headers = [*encoded(headers_of_refusal(call.shed, name)), *_echoed(start)]
                for message in whole(_refusal(self._path, call), headers, status=call.shed.status):
                    await self._send(message)
                return
            if call.flights:
                start["headers"] = [*headers_in(start), *encoded(headers_of(call.flights[0]))]
            await self._send(start)


def _runtime_of(scope: Scope) -> Runtime | None:
    state = getattr(scope.get("app"), "state", None)
    runtime: Runtime | None = getattr(getattr(state, "engine_client", None), "runtime", None)
    return runtime


def _refusal(path: str, call: Call) -> Mapping[str, Any]:
    endpoint = ENDPOINTS.get(path, ENDPOINTS[_CHAT])
    return endpoint.refusal(call.shed) if call.shed is not None else {}


def _echoed(start: Message) -> Headers:
    return [pair for pair in headers_in(start) if pair[0].lower().startswith(_ECHOED)]
