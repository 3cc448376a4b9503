"""A client: what it sends, read and given again, what it is sent, and the news that it has left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from .types import Message, Receive, Send


class Incoming:
    """A request's messages.

    Attributes:
        left: the client has gone.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []
        self._given = 0
        self.left = False

    @property
    def messages(self) -> list[Message]:
        """What was read of the body, as it came."""
        return [message for message in self._read if message["type"] == "http.request"]

    async def body(self, most: int) -> bytes | None:
        """Read the whole body; None where it is longer than `most` bytes, or its client left before its end.

        What was read until then is given again by `again`.
        """
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            self._read.append(message)
            if message["type"] != "http.request":
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size > most:
                return None
            pieces.append(piece)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def again(self) -> Message:
        """Receive as if nothing had been read: what was, and then what is to come."""
        if self._given < len(self._read):
            self._given += 1
            return self._read[self._given - 1]
        return await self.receive()

    async def receive(self) -> Message:
        """Receive what is to come."""
        if self.left:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
        return message


class Outgoing:
    """What goes to the client.

    Attributes:
        started: something went.
        complete: the end of the response went; from then on servers say of every client that it has left.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.complete = False

    async def send(self, message: Message) -> None:
        """Send one message."""
        self.started = True
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def send_all(self, messages: Iterable[Message]) -> None:
        """Send several."""
        for message in messages:
            await self.send(message)


class WhileHere:
    """Runs the block of an ``async with`` until it ends or the client leaves before its response is complete.

    Then it is cancelled, and the block is over.

    Args:
        after: when to begin to listen, where the body is still being read; None for now.

    Example::

        async with WhileHere(incoming, outgoing):
            await something_long()
        if incoming.left: ...
    """

    def __init__(self, incoming: Incoming, outgoing: Outgoing, *, after: asyncio.Event | None = None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._after = after
        self._task: asyncio.Task[object] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._cancelled = False
        self._before = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is not None:
            self._before = self._task.cancelling()
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        listener, task = self._listener, self._task
        if listener is not None and not listener.done():
            listener.cancel()
            await asyncio.wait({listener})
        if not self._cancelled or task is None:
            return False
        # as asyncio.timeout does it: swallowed is only what we asked for ourselves
        return task.uncancel() <= self._before and kind is not None and issubclass(kind, asyncio.CancelledError)

    async def _listen(self) -> None:
        if self._after is not None:
            await self._after.wait()
        while not self._incoming.left:
            await self._incoming.receive()
        if self._task is not None and not self._outgoing.complete:
            self._cancelled = True
            self._task.cancel()
