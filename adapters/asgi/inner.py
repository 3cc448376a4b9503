"""A call of the app behind us, in its own process: what it is given and what it says."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .types import App, Headers, Message, Scope

GRACE_S: Final = 0.5
"""How long an app may take to notice that its client has left, before its task is cancelled."""
_AHEAD: Final = 16
"""Messages an app may send that nobody has taken yet; then it waits, as it would for a slow client."""
_STRICT: Final = (2, 4)


class AppFailedError(Exception):
    """The app raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class InnerCall:
    """One call.

    Args:
        body: the messages of the request's body.
    """

    def __init__(self, app: App, scope: Scope, body: Sequence[Message]) -> None:
        self._app = app
        self._scope = scope
        self._body = deque(body)
        self._said: deque[Message] = deque()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._gone = asyncio.Event()
        self._complete = False
        # since ASGI 2.4 a send to a client that has left must fail; an app may listen for nothing else
        version = str(scope.get("asgi", {}).get("spec_version", "2.0"))
        self._strict = tuple(int(part) for part in version.split(".") if part.isdigit()) >= _STRICT

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Make the call and yield what the app says; closing this tells it that its client has left, then ends it.

        Raises:
            AppFailedError: it raised.
        """
        task = asyncio.create_task(self._run())
        task.add_done_callback(self._ended)
        try:
            while True:
                while self._said:
                    message = self._said.popleft()
                    self._room.set()
                    yield message
                if task.done():
                    break
                self._more.clear()
                await self._more.wait()
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                raise AppFailedError(error)
        finally:
            await self._end(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # taken note of, also where nobody is left to be told
        self._more.set()

    async def _run(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body:
            return self._body.popleft()
        if not self._complete:
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            if self._strict:
                raise OSError("the client has left")
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
            self._gone.set()  # as servers have it: after the response, whoever still listens hears that it is over
        self._said.append(message)
        self._more.set()
        while len(self._said) > _AHEAD and not self._gone.is_set():
            self._room.clear()
            await self._room.wait()

    async def _end(self, task: asyncio.Task[None]) -> None:
        self._gone.set()
        self._room.set()
        try:
            if not task.done():
                await asyncio.wait({task}, timeout=GRACE_S)
        finally:
            task.cancel()


def inner_scope(scope: Scope, sent: Mapping[str, str], /, **changes: Any) -> Scope:
    """Return a copy of a request's scope for a call of our own.

    Extensions of the response (push, files sent by path) are left out: what we cannot read could not be kept.

    Args:
        sent: headers in place of those with the same name.
        changes: to other parts of the scope.
    """
    made: dict[str, Any] = {**scope, **changes}
    extensions = scope.get("extensions")
    if extensions:
        made["extensions"] = {name: its for name, its in extensions.items() if not name.startswith("http.response.")}
    given: Headers = made["headers"]
    kept = [pair for pair in given if pair[0].decode("latin-1").lower() not in sent] if sent else given
    made["headers"] = [*kept, *((name.encode(), value.encode("latin-1")) for name, value in sent.items())]
    return made
