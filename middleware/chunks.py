"""Streams of OpenAI chat chunks through the pipeline: an engine's, and a kept answer's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chat import Assembler, replay
from .narrow import is_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from .protocols import Engine
    from .records import Answer, JsonObject, Request


class ChunkSource:
    """A streamed call of an engine, as chunks. Nobody else reads it: an answer check may still refuse what it brings."""

    form: str | None = None
    whole = False
    latest = False

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine = engine
        self._request = request
        self._assembler = Assembler()

    async def open(self, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        """Begin the call."""
        stream = self._engine.stream(self._request, headers)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def add(self, piece: JsonObject) -> bool:
        """Take note of a chunk."""
        self._assembler.add(piece)
        return True

    def answer(self) -> Answer | None:
        """Return the whole answer."""
        return self._assembler.answer()


def wants_usage(request: Request) -> bool:
    """Return whether the caller wants the usage chunk at the end of a stream."""
    options = request.params.get("stream_options")
    return is_object(options) and options.get("include_usage") is True


async def replayed(body: JsonObject, *, include_usage: bool) -> AsyncGenerator[JsonObject, None]:
    """Yield a kept answer as a stream."""
    for chunk in replay(body, include_usage=include_usage):
        yield chunk
