"""``/v1/chat/completions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ....middleware.chat import answer_of, replay
from ....middleware.narrow import is_object
from ..replay import ReplayedChunks, chat_chunk
from ..streams import choices_of
from .base import body_of, objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ....middleware.flight import Flight
    from ....middleware.records import Answer, JsonObject

PARAMS: Final = frozenset(
    {
        "audio",
        "extra_body",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
        "web_search_options",
    }
)


class Chat:
    """Chat completions."""

    name = "chat"
    call_type = "acompletion"
    metadata = "metadata"
    content = "messages"
    params = PARAMS

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the messages as they are."""
        return objects(data.get("messages"))

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return a ``chat.completion``; what LiteLLM's assembling of a stream loses is taken from its chunks."""
        del flight
        if not is_object(value) or value.get("object") != "chat.completion":
            return None
        if stream is not None:
            whole = choices_of(stream)
            if whole:
                value = {**value, "choices": whole}
        return answer_of(value)

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return the whole object, or a stream of its chunks."""
        body = body_of(flight)
        if not flight.request.stream:
            return body
        options = kwargs.get("stream_options")
        usage = is_object(options) and options.get("include_usage") is True
        chunks = replay(body, include_usage=usage, words=words)
        return ReplayedChunks(map(chat_chunk, chunks), body, kwargs)
