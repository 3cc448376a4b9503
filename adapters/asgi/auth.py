"""Whether the server behind us accepts a caller: it is asked, and what it said is remembered for a short time.

A middleware that is added last stands before a server's own authentication. So nothing is answered, shared or refused here
for a caller whom the server itself has not let in: it is asked for its list of models, in process, with the caller's own
headers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Final

from .inner import AppFailedError, InnerCall, inner_scope
from .source import START
from .types import headers_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .types import App, Headers, Scope

log = logging.getLogger(__name__)
PROBE_S: Final = 5.0
"""The longest a server may take to answer; then the request passes through."""
_REMEMBERED: Final = 4096
_SUCCESS: Final = range(200, 300)
_REFUSALS: Final = (401, 403)
_OF_THE_BODY: Final = frozenset({"content-length", "content-type", "content-encoding", "transfer-encoding", "expect"})
_HARMLESS: Final = _OF_THE_BODY | {
    "accept",
    "accept-encoding",
    "accept-language",
    "baggage",
    "cache-control",
    "connection",
    "date",
    "idempotency-key",
    "te",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-request-id",
}
"""Headers by which no server lets anybody in. Any other may be what it looks at, so another value asks anew."""
_HARMLESS_PREFIXES: Final = ("x-forebay-", "x-stainless-")
_ECHOED: Final = (b"access-control-", b"vary")


class Door:
    """Asks the server about callers.

    Args:
        path: what is asked for; it must answer accepted callers with 200.
        ttl_s: how long an acceptance is remembered; a refusal is not.
        digest: makes a keyed digest of fields: no credential is kept.
    """

    def __init__(
        self,
        app: App,
        path: str,
        ttl_s: float,
        digest: Callable[..., str],
        *,
        most: int = _REMEMBERED,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._app = app
        self._path = path
        self._ttl_s = ttl_s
        self._digest = digest
        self._most = most
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Headers]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Headers | None]] = {}
        self._said: set[int] = set()

    async def accepted(self, scope: Scope) -> Headers | None:
        """Return the headers that a browser needs in each response (CORS), None where the server does not let the caller in."""
        caller = self._caller(scope)
        known = self._known.get(caller)
        if known is not None and known[0] > self._clock():
            self._known.move_to_end(caller)
            return known[1]
        asking = self._asking.get(caller)
        if asking is None:
            asking = self._asking[caller] = asyncio.create_task(self._ask(caller, scope))
            asking.add_done_callback(lambda _: self._asking.pop(caller, None))
        return await asyncio.shield(asking)  # several wait for it: who leaves takes nothing from the others

    async def _ask(self, caller: str, scope: Scope) -> Headers | None:
        status, headers = await self._probe(scope)
        if status not in _SUCCESS:
            if status not in _REFUSALS and status not in self._said:
                self._said.add(status)
                log.warning(
                    "the server answers GET %s %s: such requests pass through. front.auth_path must name a path that it "
                    "answers with 200 for those whom it serves",
                    self._path,
                    f"with status {status}" if status else "not at all",
                )
            return None
        self._known[caller] = (self._clock() + self._ttl_s, headers)
        self._known.move_to_end(caller)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return headers

    async def _probe(self, scope: Scope) -> tuple[int, Headers]:
        """Return the status, 0 for none, and the headers to echo."""
        path = f"{scope.get('root_path', '')}{self._path}"
        kept = [(name, value) for name, value in scope["headers"] if name.decode("latin-1").lower() not in _OF_THE_BODY]
        asked = inner_scope(scope, {}, method="GET", path=path, raw_path=path.encode(), headers=kept)
        call = InnerCall(self._app, asked, [{"type": "http.request", "body": b"", "more_body": False}])
        found: tuple[int, Headers] = (0, [])
        try:
            async with asyncio.timeout(PROBE_S), aclosing(call.messages()) as messages:
                async for message in messages:
                    if message["type"] == START:
                        echoed = [pair for pair in headers_in(message) if pair[0].lower().startswith(_ECHOED)]
                        found = (message["status"], echoed)
        except (AppFailedError, TimeoutError) as error:
            log.debug("asking the server about a caller failed: %s", type(error).__name__)
            return 0, []
        return found

    def _caller(self, scope: Scope) -> str:
        """Return a digest of all by which a server may tell callers apart."""
        client = scope.get("client")
        extensions: dict[str, dict[str, Any]] = scope.get("extensions") or {}
        tls = extensions.get("tls", {})
        fields: list[str | bytes] = [
            "caller/1",
            str(client[0]) if client else "",
            str(scope.get("scheme", "")),
            str(tls.get("client_cert_name")),
            scope.get("query_string", b""),
            str(scope.get("root_path", "")),
        ]
        for name, value in scope["headers"]:
            text = name.decode("latin-1").lower()
            if text not in _HARMLESS and not text.startswith(_HARMLESS_PREFIXES):
                fields += (name, value)
        return self._digest(*fields)
