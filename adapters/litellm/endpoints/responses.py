"""``/v1/responses``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ....middleware.chat import answer_of
from ....middleware.narrow import is_array, is_object
from ..response_events import ReplayedResponse
from .base import body_of, objects, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ....middleware.flight import Flight
    from ....middleware.records import Answer, JsonObject

PARAMS: Final = frozenset(
    {
        "background",
        "conversation",
        "extra_body",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "reasoning",
        "temperature",
        "text",
        "text_format",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    }
)
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})


class Responses:
    """OpenAI's Responses API."""

    name = "responses"
    call_type = "aresponses"
    metadata = "litellm_metadata"
    content = "input"
    params = PARAMS

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the input items as messages; what is not a message takes its type as its role."""
        given = data.get("input")
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        items = objects(given)
        return [_message(item) for item in items] if items else None

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return a ``response``."""
        del flight, stream
        return answer_of(value) if is_object(value) and value.get("object") == "response" else None

    def collected(self, flight: Flight, chunks: Sequence[object]) -> Answer | None:
        """Return the response that a stream ends with: LiteLLM brings none of those it makes from chat streams."""
        for chunk in reversed(chunks):
            if getattr(chunk, "type", None) == "response.completed":
                return self.answer(flight, value_of(getattr(chunk, "response", None)), None)
        return None

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return the whole object, or a stream of its events."""
        body = body_of(flight)
        return ReplayedResponse(body, kwargs, words) if flight.request.stream else body


def _message(item: dict[str, Any]) -> JsonObject:
    content = item.get("content")
    if is_array(content):
        content = [_part(part) for part in content]
    role = item.get("role") if item.get("type") in (None, "message") else f"item:{item.get('type')}"
    rest = {name: value for name, value in item.items() if name not in ("type", "role", "content")}
    return {**rest, "role": role if isinstance(role, str) else "item", "content": content}


def _part(part: object) -> object:
    if is_object(part) and part.get("type") in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    return part
