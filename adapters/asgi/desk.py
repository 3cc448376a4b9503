"""Who takes requests in at the front: reads them, asks the server whether it lets their caller in, and begins their flights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ...middleware.records import Mode
from .auth import Door
from .body import Incoming, Outgoing
from .inner import AppFailedError
from .requests import body_of, request_of, tenant_of
from .types import text_headers
from .visit import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.records import Request
    from ...middleware.runtime import Runtime
    from .endpoints import Endpoint
    from .types import App, Headers, Receive, Scope, Send

log = logging.getLogger(__name__)


class Desk:
    """Serves the requests of one app.

    Args:
        runtime: started.
    """

    def __init__(self, app: App, runtime: Runtime) -> None:
        front = runtime.config.front
        self._app = app
        self._runtime = runtime
        self._most = front.body_limit_bytes
        self._tenant_header = front.tenant_header
        self.door = Door(app, front.auth_path, front.auth_ttl_s, runtime.keyring.digest)

    async def serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. Fails open: as long as nothing was sent, the app gets it as if we were not there.

        Raises:
            Exception: whatever the app raised.
        """
        incoming, outgoing = Incoming(receive), Outgoing(send)
        try:
            visit = await self._begun(endpoint, scope, incoming, outgoing)
            if visit is not None:
                await visit.serve()
                return
        except AppFailedError as failed:
            raise failed.error from None
        except Exception as error:
            if outgoing.started:
                raise
            self._failed(error)
        await self._app(scope, incoming.again, send)

    async def _begun(self, endpoint: Endpoint, scope: Scope, incoming: Incoming, outgoing: Outgoing) -> Visit | None:
        """Begin a flight; None where the request passes through."""
        headers = text_headers(scope)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._most:
            return None
        read = await incoming.body(self._most)
        body = body_of(headers, read) if read is not None else None
        request = self._request(endpoint, scope, headers, body) if body is not None else None
        if body is None or request is None:
            return None
        echoed: Headers | None = []
        if self._runtime.modes.of(request) is Mode.SERVE:
            echoed = await self.door.accepted(scope)
        if echoed is None:
            return None
        pipeline = self._runtime.pipeline
        return Visit(
            app=self._app,
            pipeline=pipeline,
            endpoint=endpoint,
            scope=scope,
            headers=headers,
            body=body,
            echoed=echoed,
            incoming=incoming,
            outgoing=outgoing,
            flight=pipeline.begin(request, self._runtime.telemetry.parent_of(None, headers)),
        )

    def _request(
        self, endpoint: Endpoint, scope: Scope, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Request | None:
        query, keyring = scope.get("query_string", b""), self._runtime.keyring
        tenant = tenant_of(headers, query, keyring, self._tenant_header)
        return request_of(endpoint, body, headers, query, tenant=tenant, keyring=keyring)

    def _failed(self, error: Exception) -> None:
        self._runtime.telemetry.dependency_error("asgi", type(error).__name__)
        log.warning("forebay failed (%s); the request goes on without it", type(error).__name__)
        log.debug("details", exc_info=error)
