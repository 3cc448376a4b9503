"""forebay in front of an OpenAI-compatible server, inside its process: a middleware for any ASGI app.

``vllm serve MODEL --middleware forebay.adapters.asgi.ForebayMiddleware`` makes it with the app and no other argument: its
configuration comes from FOREBAY_CONFIG and the environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .admin import administer, is_admins
from .answers import whole
from .body import Outgoing
from .desk import Desk
from .endpoints import ENDPOINTS
from .engine import AppEngine
from .lifecycle import Lifecycle
from .status import STATUS, status_of
from .types import path_of

if TYPE_CHECKING:
    from ...middleware.config import Config
    from ...middleware.plugin_manager import PluginManager
    from ...middleware.runtime import Runtime
    from .auth import Door
    from .types import App, Receive, Scope, Send

_READING: Final = frozenset({"GET", "HEAD"})


class ForebayMiddleware:
    """Answers what has been answered before, and lets the rest through to the app in order. Belongs to one event loop.

    Args:
        app: the server.
        config: None for what the environment says.
        plugins: None for the installed ones.
    """

    def __init__(self, app: App, config: Config | None = None, plugins: PluginManager | None = None) -> None:
        self._app = app
        self._life = Lifecycle(config, plugins)
        self._desk: Desk | None = None

    @property
    def runtime(self) -> Runtime | None:
        """What runs, None until it has started."""
        return self._life.runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._life.lifespan(self._app, scope, receive, send)
            return
        desk = self._at_work() if kind == "http" else None
        if desk is not None:
            path, method = path_of(scope), scope["method"]
            endpoint = ENDPOINTS.get(path) if method == "POST" else None
            if endpoint is not None:
                await desk.serve(endpoint, scope, receive, send)
                return
            runtime = self._life.runtime
            if runtime is not None and is_admins(runtime, scope):
                await administer(runtime, scope, receive, send)
                return
            if path == STATUS and method in _READING and await self._show(desk.door, scope, send):
                return
        await self._app(scope, receive, send)

    def _at_work(self) -> Desk | None:
        """Return who serves, None until the runtime has started."""
        runtime = self._life.runtime
        if runtime is None:
            self._desk = None
            self._life.start_soon()
        elif self._desk is None:
            self._desk = Desk(self._app, runtime)
            key = runtime.config.front.background_api_key
            if key is not None and runtime.background is None:
                runtime.call_behind(AppEngine(self._app, key))
        return self._desk

    async def _show(self, door: Door, scope: Scope, send: Send) -> bool:
        """Answer with the status; return False for a caller whom the server would not let in."""
        echoed = await door.accepted(scope)
        if echoed is None:
            return False
        await Outgoing(send).send_all(whole(await status_of(self._life.runtime), echoed))
        return True
