"""A call of the app behind us as the pipeline runs it: other equal requests may read it while it goes on."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from ...middleware.narrow import is_object
from ..engines.sse import EventParser
from .inner import InnerCall, inner_scope
from .types import header_of, headers_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ...middleware.records import Answer
    from .endpoints import Assembling, Endpoint
    from .types import App, Message, Scope

START: Final = "http.response.start"
BODY: Final = "http.response.body"
_OK: Final = 200
_MOST_BYTES: Final = 32 * 1024 * 1024
"""A whole answer that is longer is not read."""


class NotAnsweredError(Exception):
    """The app did not answer with 200: what it said is for this client alone, and nobody follows it.

    Attributes:
        messages: the whole response.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        super().__init__(f"status {messages[0].get('status')}")
        self.messages = messages


class AppSource:
    """One call of the app.

    Args:
        body: the messages of the request's body.
        form: calls whose responses are alike byte for byte have the same; see `Source`.
        stream: the client asked for server-sent events.
        reads: False where nothing of it will be kept or learned.
    """

    latest = False

    def __init__(
        self,
        app: App,
        endpoint: Endpoint,
        scope: Scope,
        body: Sequence[Message],
        *,
        form: str,
        stream: bool,
        reads: bool,
    ) -> None:
        self.form: str | None = form
        self.whole = not stream
        self._app = app
        self._endpoint = endpoint
        self._scope = scope
        self._body = body
        self._reads = reads
        self._reading: _Whole | _Stream | None = None

    async def open(self, headers: Mapping[str, str]) -> AsyncGenerator[Message, None]:
        """Make the call.

        Raises:
            AppFailedError: the app raised.
            NotAnsweredError: it answered with another status than 200.
        """
        call = InnerCall(self._app, inner_scope(self._scope, headers), self._body)
        refused: list[Message] = []
        async with aclosing(call.messages()) as messages:
            async for message in messages:
                if refused or (message["type"] == START and message["status"] != _OK):
                    refused.append(message)
                else:
                    yield message
        if refused:
            raise NotAnsweredError(refused)

    def add(self, piece: Message) -> bool:
        """Take note of a message; return whether it brings output."""
        if piece["type"] == START:
            self._reading = self._reader(piece) if self._reads else None
            return False
        if self._reading is None:
            return bool(piece.get("body"))
        return self._reading.add(piece.get("body", b""), last=not piece.get("more_body", False))

    def answer(self) -> Answer | None:
        """Return the whole answer, None where there is none that could be kept."""
        return self._reading.answer() if self._reading is not None else None

    def _reader(self, start: Message) -> _Whole | _Stream | None:
        headers = headers_in(start)
        if header_of(headers, b"content-encoding") not in ("", "identity"):
            return None
        kind = header_of(headers, b"content-type").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return _Stream(self._endpoint.assembler())
        return _Whole(self._endpoint) if kind == "application/json" else None


class _Whole:
    """A response that is one JSON object."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._body = bytearray()
        self._complete = False

    def add(self, body: bytes, *, last: bool) -> bool:
        """Take a piece; return whether it brings output."""
        if len(self._body) + len(body) > _MOST_BYTES:
            raise ValueError(len(body))
        self._body += body
        self._complete = last
        return bool(body)

    def answer(self) -> Answer | None:
        """Return the answer."""
        if not self._complete:
            return None
        body: Any = json.loads(self._body)
        return self._endpoint.whole(body) if is_object(body) else None


class _Stream:
    """A response that is server-sent events."""

    def __init__(self, assembler: Assembling) -> None:
        self._parser = EventParser()
        self._assembler = assembler
        self._complete = False

    def add(self, body: bytes, *, last: bool) -> bool:
        """Take a piece; return whether it brings output."""
        self._complete = last
        said = [self._assembler.add(event) for event in self._parser.feed(body)]
        return any(said)

    def answer(self) -> Answer | None:
        """Return the answer; what a stream that broke off has said until then is none."""
        return self._assembler.answer() if self._complete else None
