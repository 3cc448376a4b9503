"""The runtime of one app: started with the server, or at the first request where a server has no such notion."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from ...middleware.config import Config, load_config
from ...middleware.errors import ForebayError
from ...middleware.runtime import Runtime

if TYPE_CHECKING:
    from ...middleware.plugin_manager import PluginManager
    from .types import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
CONFIG_VARIABLE: Final = "FOREBAY_CONFIG"
_STARTED: Final = "lifespan.startup.complete"
_OVER: Final = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Lifecycle:
    """Starts and stops a runtime.

    Args:
        config: None for the file that FOREBAY_CONFIG names and the environment, read at the start.
        plugins: None for the installed ones.

    Attributes:
        runtime: None until it has started, and after it has stopped.
    """

    def __init__(self, config: Config | None = None, plugins: PluginManager | None = None) -> None:
        self._config = config
        self._plugins = plugins
        self.runtime: Runtime | None = None
        self._began = False
        self._starting: asyncio.Task[None] | None = None  # held: the loop itself keeps a weak reference

    async def start(self) -> None:
        """Build and start the runtime.

        Raises:
            ConfigError, PluginError: what the config says cannot be built.
        """
        config = self._config or load_config(os.environ.get(CONFIG_VARIABLE))
        runtime = Runtime(config, self._plugins)
        try:
            await runtime.start()
        except BaseException:
            await runtime.stop()
            raise
        self.runtime = runtime

    def start_soon(self) -> None:
        """Begin to start, once; requests pass through until it is done."""
        if not self._began:
            self._began = True
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        try:
            await self.start()
        except Exception as error:  # the server runs already: it goes on without us
            log.error("forebay does not start, and all requests pass through: %s", error)  # noqa: TRY400  (it says all)

    async def stop(self) -> None:
        """Stop the runtime."""
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            await runtime.stop()

    async def lifespan(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Start before the app does, and stop after it has.

        A wrong configuration stops the server, with its reason as the server's own message.
        """
        first = await receive()
        try:
            self._began = True  # no request starts it once more
            await self.start()
        except Exception as error:
            if not isinstance(error, ForebayError):
                log.exception("forebay does not start")
            await send({"type": "lifespan.startup.failed", "message": f"forebay does not start: {error}"})
            return
        unread = [first]
        spoken = False

        async def given() -> Message:
            return unread.pop() if unread else await receive()

        async def told(message: Message) -> None:
            nonlocal spoken
            spoken = True
            if message["type"] in _OVER:
                await self.stop()
            await send(message)

        try:
            await app(scope, given, told)
        except Exception:
            if spoken:
                await self.stop()
                raise
        if not spoken:  # the app knows of no such thing; we do
            await send({"type": _STARTED})
            while (await receive())["type"] != "lifespan.shutdown":
                pass
            await self.stop()
            await send({"type": "lifespan.shutdown.complete"})
