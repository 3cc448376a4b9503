"""A connection to one Milvus, made when it is first needed and again after it was lost.

Many callers share one attempt to connect. The attempt goes on when a caller gives up waiting, because a
lookup's deadline is shorter than connecting takes; after a failed one, callers fail at once until the next
attempt is due.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...middleware.deadline import within
from ...middleware.errors import AdapterError, StoreError
from .driver import error_label, is_collection_missing, make_client
from .filters import filled
from .lite import LiteServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

PREPARE_LIMIT_S: Final = 30.0
"""How long making, indexing and loading a collection may take on a server that answers."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0


class Connection:
    """A Milvus client that connects by itself.

    Args:
        place: folder of a Milvus Lite database, or the uri of a server.
        token: for a server that asks for one; in no message.
        timeout_s: the longest a call takes.
        prepare: awaited with each new client before it is used.

    Attributes:
        templates: whether this Milvus fills filter templates in; else that is done here.
    """

    def __init__(
        self, place: Path | str, *, token: str, timeout_s: float, prepare: Callable[[Any], Awaitable[None]]
    ) -> None:
        self._place = place
        self._token = token
        self._timeout_s = timeout_s
        self._prepare = prepare
        self._lite: LiteServer | None = None
        self._client: Any = None
        self._attempt: asyncio.Task[Any] | None = None
        self._failure: AdapterError | None = None
        self._pause_s = FIRST_PAUSE_S
        self._next_attempt_s = 0.0
        self._closed = False
        self.templates = True

    @property
    def shown(self) -> str:
        """Where it is, for messages: without user, password or query."""
        if not isinstance(self._place, str):
            return str(self._place)
        parts = urlsplit(self._place)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def open(self) -> None:
        """Connect and prepare, unless that is done.

        Raises:
            AdapterError: it cannot be reached, or what is there cannot be used.
        """
        await self._ready()

    async def renew(self) -> None:
        """Connect and prepare again, now.

        Raises:
            AdapterError: see `open`.
        """
        if self._attempt is not None:
            await asyncio.gather(self._attempt, return_exceptions=True)
        await self._drop_client()
        self._failure = None
        await self._ready()

    async def reach(self) -> None:
        """Connect and prepare, unless that is done, within the timeout of a call.

        Raises:
            AdapterError: see `open`; or it took too long.
        """
        try:
            async with within(self._timeout_s):
                await self._ready()
        except TimeoutError:
            raise StoreError(f"Milvus at {self.shown}: connecting took more than {self._timeout_s:g} s") from None

    async def call(self, method: str, *args: Any, **arguments: Any) -> Any:
        """Call a method of the client, within the timeout.

        Raises:
            AdapterError: there is no connection, the call failed, or it took too long.
        """
        client: Any = None
        try:
            async with within(self._timeout_s):
                client = await self._ready()
                arguments = arguments if self.templates else filled(arguments)
                if self._lite is not None and self._lite.engine.takes(method, arguments):
                    return await self._lite.engine.call(method, *args, **arguments)
                return await getattr(client, method)(*args, retry_times=1, **arguments)
        except AdapterError:
            raise
        except TimeoutError:
            raise StoreError(f"Milvus at {self.shown}: {method} took more than {self._timeout_s:g} s") from None
        except Exception as error:  # pymilvus raises its own, gRPC's and Python's; none may get further
            if is_collection_missing(error) and self._client is client:
                # someone dropped it; the next call connects anew and makes it again
                await self._drop_client()
            raise StoreError(f"Milvus at {self.shown}: {method} failed ({error_label(error)})") from None

    async def close(self) -> None:
        """Close everything; does not raise."""
        self._closed = True
        attempt = self._attempt
        if attempt is not None:
            # a thread that opens Milvus Lite cannot be cancelled, and must not leave the file open
            if isinstance(self._place, str):
                attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
        await self._drop_client()
        await self._close_lite()

    async def _ready(self) -> Any:
        if self._client is not None:
            return self._client
        if self._closed:
            raise self._stopped()
        attempt = self._attempt
        if attempt is None:
            if self._failure is not None and time.monotonic() < self._next_attempt_s:
                raise type(self._failure)(str(self._failure))
            attempt = self._attempt = asyncio.create_task(self._connect(), name="forebay-milvus-connect")
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if attempt.cancelled() and waiting is not None and not waiting.cancelling():
                # it was the attempt that was cancelled, by `close`, and not this caller
                raise self._stopped() from None
            raise

    async def _connect(self) -> Any:
        client: Any = None
        try:
            client = await self._reached(await self._uri())
            async with asyncio.timeout(PREPARE_LIMIT_S):
                await self._prepare(client)
        except BaseException as error:
            await _close(client)
            await self._close_lite()
            if not isinstance(error, Exception):
                raise
            self._failure = self._explained(error)
            self._next_attempt_s = time.monotonic() + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            raise self._failure from None
        else:
            self._client, self._failure, self._pause_s = client, None, FIRST_PAUSE_S
            return client
        finally:
            self._attempt = None

    async def _uri(self) -> str:
        if isinstance(self._place, str):
            return self._place
        if self._lite is None:
            self._lite = await asyncio.to_thread(LiteServer.open, self._place)
        return self._lite.uri

    async def _reached(self, uri: str) -> Any:
        client: Any = None
        try:
            client = make_client(uri, self._token, self._timeout_s)
            async with asyncio.timeout(self._timeout_s):
                await client.get_server_version()
        except BaseException as error:
            await _close(client)
            if not isinstance(error, Exception):
                raise
            reason = (
                f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else error_label(error)
            )
            raise StoreError(
                f"Milvus at {self.shown} cannot be reached ({reason}); is it running, does store.uri name its gRPC "
                "port (19530 by default), and is store.token right?"
            ) from None
        return client

    def _explained(self, error: Exception) -> AdapterError:
        if isinstance(error, AdapterError):
            return error
        reason = f"not done within {PREPARE_LIMIT_S:g} s" if isinstance(error, TimeoutError) else error_label(error)
        return StoreError(f"Milvus at {self.shown}: the collection cannot be prepared ({reason})")

    def _stopped(self) -> StoreError:
        return StoreError(f"Milvus at {self.shown}: the store is stopped")

    async def _close_lite(self) -> None:
        lite, self._lite = self._lite, None
        if lite is not None:
            await asyncio.to_thread(lite.close)

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        await _close(client)


async def _close(client: Any) -> None:
    if client is None:
        return
    try:
        await client.close()
    except Exception:
        # the channel is of no use either way
        return
