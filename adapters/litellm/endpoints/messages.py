"""``/v1/messages``: Anthropic's Messages API, whatever the provider behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from ....middleware.chat import answer_of
from ....middleware.narrow import is_object
from ...openai.messages import assemble, data_of, replay
from .base import body_of, objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ....middleware.flight import Flight
    from ....middleware.records import Answer, JsonObject

PARAMS: Final = frozenset(
    {
        "container",
        "context_management",
        "extra_body",
        "max_tokens",
        "mcp_servers",
        "output_config",
        "output_format",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
EVENTS: Final = "litellm_cached_anthropic_sse_events"
"""The key under which LiteLLM keeps a stream of this endpoint."""


class Messages:
    """Anthropic messages."""

    name = "messages"
    call_type = "anthropic_messages"
    metadata = "litellm_metadata"
    content = "messages"
    params = PARAMS

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the messages as they are; their text blocks are OpenAI's, too."""
        return objects(data.get("messages"))

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return a ``message``, whole or put together from a stream's events."""
        del flight, stream
        if not is_object(value):
            return None
        events = value.get(EVENTS)
        if isinstance(events, (list, tuple)):
            return assemble(data_of(str(event) for event in cast("Sequence[object]", events)))
        return answer_of(value) if value.get("type") == "message" else None

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return the whole object, or the events LiteLLM sends as they are."""
        del kwargs
        body = body_of(flight)
        return {EVENTS: list(replay(body, words))} if flight.request.stream else body
