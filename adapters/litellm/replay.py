"""A kept answer as a stream that LiteLLM takes for its own.

LiteLLM's own replay of a cached answer keeps one choice, no reasoning and no refusal, and builds the whole answer once
more from the chunks in order to log it. This one sends every field, and logs the answer it was made from.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper  # pyright: ignore[reportMissingTypeStubs]
from litellm.types.utils import (  # pyright: ignore[reportMissingTypeStubs]
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...middleware.records import JsonObject


class ReplayedChunks(CustomStreamWrapper):
    """The chunks of a kept answer.

    Args:
        pieces: the chunks, in LiteLLM's types.
        body: the whole answer, for the log.
        kwargs: of the call.
    """

    def __init__(self, pieces: Iterator[object], body: JsonObject, kwargs: Mapping[str, Any]) -> None:
        make: Any = super().__init__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  (half typed)
        make(
            completion_stream=None,
            model=kwargs.get("model"),
            logging_obj=kwargs["litellm_logging_obj"],
            custom_llm_provider="cached_response",
        )
        self._pieces = pieces
        self._body = body
        self._logged = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        piece = next(self._pieces, None)
        if piece is None:
            self._log()
            raise StopAsyncIteration
        return piece

    def _log(self) -> None:
        """Log the answer once, as LiteLLM does at the end of a stream."""
        if self._logged:
            return
        self._logged = True
        whole = whole_of(self._body)
        log: Any = self.logging_obj
        if getattr(log, "_on_deferred_stream_complete", None) is not None:
            log._deferred_stream_complete_args = (whole, True)  # noqa: SLF001  (LiteLLM's own protocol with its streams)
            return
        task = asyncio.create_task(
            log.dispatch_success_handlers(
                whole, cache_hit=True, start_time=None, end_time=None, prefer_async_handlers=True
            )
        )
        _logging.add(task)
        task.add_done_callback(_logging.discard)


_logging: set[asyncio.Task[Any]] = set()
"""Held until they are done: the loop itself keeps weak references only."""


def chat_chunk(chunk: JsonObject) -> object:
    """Return a ``chat.completion.chunk`` in LiteLLM's type; the one with the usage has an empty choice, as LiteLLM's has."""
    made: Any = ModelResponseStream
    return made(**{**chunk, "choices": chunk.get("choices") or [{"index": 0, "delta": {}}]})


def text_chunk(chunk: JsonObject) -> object:
    """Return a piece of a ``text_completion`` in LiteLLM's type."""
    make: Any = TextCompletionResponse
    made = make(**{**chunk, "choices": chunk.get("choices") or [{"index": 0}]})
    if chunk.get("usage") is None:
        del made.usage  # which LiteLLM fills with zeros
    return made


def whole_of(body: JsonObject) -> object:
    """Return a kept answer in LiteLLM's type."""
    make: Any = TextCompletionResponse if body.get("object") == "text_completion" else ModelResponse
    return make(**dict(body))
