"""A reverse proxy as an ASGI app: the server behind the front where that is no ASGI app, or runs elsewhere."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx

from .answers import whole
from .body import Incoming, Outgoing, WhileHere
from .source import BODY, START

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .types import Headers, Receive, Scope, Send

log = logging.getLogger(__name__)
CONNECT_S: Final = 10.0
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Of one connection, not of the message: RFC 9110, section 7.6.1."""
_OURS: Final = frozenset({b"host", b"expect", b"x-forwarded-for"})
_KEEP_ALIVE_S: Final = 2.0
"""Less than servers keep a silent connection: one that they close just then would fail a request."""


class _LeftError(Exception):
    """The client left while it still sent its body."""


class Upstream:
    """Passes each request on to a server, byte for byte both ways, and closes its stream when the client leaves.

    Args:
        base_url: of the server, before ``/v1``.
        transport: for tests; None for the network.
    """

    def __init__(self, base_url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._base = httpx.URL(base_url.rstrip("/"))
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it; a WebSocket is refused."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._open()
                await send({"type": "lifespan.startup.complete"})
            else:
                client, self._client = self._client, None
                if client is not None:
                    await client.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                # an answer may take as long as its client waits
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
                transport=self._transport,
                trust_env=False,
            )
        return self._client

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming, outgoing = Incoming(receive), Outgoing(send)
        sent = asyncio.Event()
        first = await incoming.receive()
        if first["type"] != "http.request":
            return
        content: bytes | AsyncIterator[bytes] = first.get("body", b"")
        if first.get("more_body", False):
            content = _rest(first.get("body", b""), incoming, sent)
        else:
            sent.set()
        request = httpx.Request(scope["method"], self._url(scope), headers=_headers(scope), content=content)
        try:
            async with WhileHere(incoming, outgoing, after=sent), self._answered(request) as response:
                headers = [pair for pair in response.headers.raw if not _is_of_hop(pair[0], response.headers)]
                await outgoing.send({"type": START, "status": response.status_code, "headers": _lower(headers)})
                async for piece in response.aiter_raw():
                    await outgoing.send({"type": BODY, "body": piece, "more_body": True})
                await outgoing.send({"type": BODY, "body": b"", "more_body": False})
        except _LeftError:
            return
        except httpx.HTTPError as error:
            if outgoing.started:
                raise  # the server that runs us closes the connection: the answer is not whole
            status, what = _failure(error)
            log.warning("%s: %s", what, type(error).__name__)
            told = {"message": what, "type": "upstream_error", "param": None, "code": status}
            await outgoing.send_all(whole({"error": told}, [], status=status))

    @asynccontextmanager
    async def _answered(self, request: httpx.Request) -> AsyncGenerator[httpx.Response]:
        response = await self._open().send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _url(self, scope: Scope) -> httpx.URL:
        path: bytes = scope.get("raw_path") or httpx.URL(path=scope["path"]).raw_path
        query: bytes = scope.get("query_string", b"")
        before = self._base.raw_path.rstrip(b"/")
        return self._base.copy_with(raw_path=before + path + (b"?" + query if query else b""))


async def _rest(first: bytes, incoming: Incoming, sent: asyncio.Event) -> AsyncGenerator[bytes]:
    """Yield a body as it comes."""
    yield first
    while True:
        message = await incoming.receive()
        if message["type"] != "http.request":
            raise _LeftError
        yield message.get("body", b"")
        if not message.get("more_body", False):
            sent.set()
            return


def _headers(scope: Scope) -> Headers:
    """Return a request's headers for the server, which learns whom we ask for."""
    given: Headers = list(scope["headers"])
    named = httpx.Headers(given)
    kept = [pair for pair in given if pair[0].lower() not in _OURS and not _is_of_hop(pair[0], named)]
    client: Any = scope.get("client")
    route = [named["x-forwarded-for"]] if "x-forwarded-for" in named else []
    route += [str(client[0])] if client else []
    if route:
        kept.append((b"x-forwarded-for", ", ".join(route).encode()))
    if "x-forwarded-proto" not in named:
        kept.append((b"x-forwarded-proto", str(scope.get("scheme", "http")).encode()))
    if "x-forwarded-host" not in named and "host" in named:
        kept.append((b"x-forwarded-host", named["host"].encode()))
    return kept


def _is_of_hop(name: bytes, headers: httpx.Headers) -> bool:
    named = headers.get("connection", "").lower().encode().replace(b" ", b"").split(b",")
    return name.lower() in _HOP_BY_HOP or name.lower() in named


def _lower(headers: Headers) -> Headers:
    return [(name.lower(), value) for name, value in headers]


def _failure(error: httpx.HTTPError) -> tuple[int, str]:
    """Return what a client is told; the error's own text may hold an address."""
    if isinstance(error, httpx.TimeoutException):
        return 504, "the server behind forebay does not answer"
    if isinstance(error, httpx.ConnectError):
        return 502, "the server behind forebay cannot be reached"
    return 502, "the connection to the server behind forebay failed"
