"""forebay's own routes on LiteLLM's port: readiness for a load balancer, status for an operator.

``/forebay/ready`` says as little as LiteLLM's own readiness does and asks for no key; ``/forebay/status`` is behind
LiteLLM's authentication; what drops kept answers is for the proxy's administrators alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from ...middleware.invalidation_calls import BAD_REQUEST, PATHS, call
from ...middleware.protocols import Audited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ...middleware.events import Health
    from ...middleware.records import JsonObject
    from .bridge import Bridge

READY: Final = "/forebay/ready"
STATUS: Final = "/forebay/status"
MOST_ROWS: Final = 100
ADMIN: Final = "proxy_admin"
"""LiteLLM's role of who has the master key; one who may only look has another."""
FORBIDDEN: Final = 403


def mount(bridge: Bridge) -> bool:
    """Add the routes to the proxy this process runs; False where it runs none.

    They go before all others: LiteLLM has routes that match any path of two parts.
    """
    # looked up, not imported: importing the proxy server starts it
    server: Any = sys.modules.get("litellm.proxy.proxy_server")
    auth: Any = sys.modules.get("litellm.proxy.auth.user_api_key_auth")
    app = getattr(server, "app", None)
    if app is None or auth is None:
        return False
    ready, status = handlers(bridge)
    guarded = [Depends(auth.user_api_key_auth)]
    routes: list[Any] = app.router.routes
    for path, answer, dependencies in ((READY, ready, []), (STATUS, status, guarded)):
        app.add_api_route(path, answer, methods=["GET"], dependencies=dependencies, tags=["forebay"])
        routes.insert(0, routes.pop())
    for path in PATHS:
        answer = invalidating(bridge, path, auth.user_api_key_auth)
        app.add_api_route(path, answer, methods=["POST"], tags=["forebay"])
        routes.insert(0, routes.pop())
    return True


def is_admin(identity: object) -> bool:
    """Return whether LiteLLM's authenticated identity administers the proxy."""
    role = getattr(identity, "user_role", None)
    return getattr(role, "value", role) == ADMIN


def invalidating(bridge: Bridge, path: str, authenticate: Callable[..., Any]) -> Callable[..., Awaitable[JSONResponse]]:
    """Return what answers a route that drops kept answers.

    Args:
        path: one of `PATHS`.
        authenticate: LiteLLM's dependency; it lets in whoever has a key.
    """
    guard = Depends(authenticate)

    async def answer(request: Request, identity: Any = guard) -> JSONResponse:
        """Drop kept answers, here and in every worker; only for administrators of the proxy."""
        if not is_admin(identity):
            return JSONResponse({"error": "only for administrators of the proxy"}, status_code=FORBIDDEN)
        if not bridge.ready:
            return JSONResponse({"error": "starting"}, status_code=503)
        try:
            body: Any = await request.json() if await request.body() else None
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the body is not JSON"}, status_code=BAD_REQUEST)
        made = await call(bridge.runtime, path, body)
        return JSONResponse(made.body, status_code=made.status)

    return answer


def report(acceptance: object) -> Sequence[JsonObject]:
    """Return what an audited acceptance policy has learned, [] for one that learns nothing."""
    return acceptance.report() if isinstance(acceptance, Audited) else []


def handlers(bridge: Bridge) -> tuple[Callable[[], Awaitable[JSONResponse]], Callable[[], Awaitable[JSONResponse]]]:
    """Return what answers the two routes."""

    async def ready() -> JSONResponse:
        """Whether forebay has started, and what it does without. 503 until it has."""
        if not bridge.ready:
            return JSONResponse({"status": "starting"}, status_code=503)
        found = await bridge.runtime.check_ready()
        missing = [finding.name for finding in found if not finding.ok]
        # a part that is down costs hits, not requests: the process stays in the pool
        return JSONResponse({"status": "degraded" if missing else "ready", "without": missing})

    async def status() -> JSONResponse:
        """What forebay is doing, and how its parts are."""
        runtime = bridge.runtime
        found: Sequence[Health] = await runtime.check_ready() if bridge.ready else []
        return JSONResponse(
            {
                "started": bridge.ready,
                "problems": list(runtime.problems),
                "inflight": runtime.pipeline.inflight,
                "inside": runtime.pipeline.gate.load.inflight,
                "queued": runtime.pipeline.gate.load.queued,
                "semantic": [dict(row) for row in report(runtime.acceptance)[:MOST_ROWS]],
                "replicas": [dict(row) for row in bridge.replicas.report()[:MOST_ROWS]],
                "components": {name: spec.type for name, spec in runtime.specs()},
                "findings": [{"name": one.name, "ok": one.ok, "detail": one.detail, "fix": one.fix} for one in found],
            }
        )

    return ready, status
