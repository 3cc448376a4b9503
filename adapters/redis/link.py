"""A connection to Redis that is either up or down.

Down is decided by the first call that fails or takes too long; from then on no caller waits for it. Up is
decided by the heartbeat alone, so no request is spent on finding out.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...middleware.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

# half typed
_redis: Any = import_module("redis.asyncio")
_retry: Any = import_module("redis.asyncio.retry")
_backoff: Any = import_module("redis.backoff")

log = logging.getLogger(__name__)
CONNECTIONS: Final = 16
"""For calls that answer at once; those beyond wait for a free one, within their deadline."""


class Link:
    """Calls to one Redis.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; its password is in no message.
        timeout_s: the longest a call takes.
        changed: called when it went down or came up.

    Attributes:
        up: whether calls are made.
        calls: how many were made so far.
    """

    def __init__(self, url: str, *, timeout_s: float, changed: Callable[[], None]) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._changed = changed
        self.up = False
        self.calls = 0
        self._was_up = True  # so that a Redis that is down at the start is logged once, too
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_connect_timeout": timeout_s,
            # its own retries would take longer than any request may wait, and hide that it was restarted
            "retry": _retry.Retry(_backoff.NoBackoff(), 0),
        }
        pool = _redis.BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=timeout_s, socket_timeout=timeout_s, **options
        )
        self.client: Any = _redis.Redis(connection_pool=pool)
        self.blocking: Any = _redis.Redis(
            connection_pool=_redis.ConnectionPool.from_url(url, socket_timeout=None, **options)
        )

    @property
    def shown(self) -> str:
        """Where it is, for messages: without user, password or query."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def script(self, text: str) -> Callable[[Sequence[str], Sequence[str | int]], Awaitable[Any]]:
        """Return a script as a function of its keys and arguments."""
        made: Any = self.client.register_script(text)
        return lambda keys, arguments: made(keys=keys, args=arguments)

    async def call(self, make: Callable[[], Awaitable[Any]], *, probe: bool = False) -> Any:
        """Make a call.

        Args:
            probe: also while it is down; if it succeeds, it is up.

        Raises:
            CoordinationError: it is down, or the call failed or took too long.
        """
        if not (self.up or probe):
            raise CoordinationError(f"Redis at {self.shown} cannot be reached")
        self.calls += 1
        began = monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await make()
        except Exception as error:  # redis-py raises its own, the system's and Python's
            self._down(error)
            raise CoordinationError(f"Redis at {self.shown}: {_label(error, self._timeout_s)}") from None
        except asyncio.CancelledError:
            if monotonic() - began >= self._timeout_s / 2:
                self._down(TimeoutError())  # the caller's own deadline may be the cause
            raise
        if probe and not self.up:
            self.up = True
            if not self._was_up:
                log.warning("Redis at %s works again: limits and twins are shared", self.shown)
            self._was_up = True
            self._changed()
        return result

    async def close(self) -> None:
        """Close all connections; does not raise."""
        self.up = False
        for client in (self.client, self.blocking):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await client.aclose()
                    await client.connection_pool.disconnect()
            except Exception:
                log.debug("closing a connection to Redis failed", exc_info=True)

    def _down(self, error: Exception) -> None:
        if self._was_up:
            log.warning(
                "Redis at %s does not do its part (%s): until it works again limits are divided and twins are "
                "each worker's own; requests go on",
                self.shown,
                _label(error, self._timeout_s),
            )
        self._was_up = False
        if self.up:
            self.up = False
            self._changed()


def _label(error: Exception, timeout_s: float) -> str:
    return f"no answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else type(error).__name__
