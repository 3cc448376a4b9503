"""What an answer says about itself on the span of the engine's call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from . import semconv
from .narrow import is_array, is_object

if TYPE_CHECKING:
    from .records import Answer


def answer_values(answer: Answer | None) -> dict[str, Any]:
    """Return span attributes: tokens, id, model, finish reasons; {} where there is no answer."""
    if answer is None:
        return {}
    choices = answer.body.get("choices")
    return {
        semconv.USAGE_INPUT: answer.input_tokens,
        semconv.USAGE_OUTPUT: answer.output_tokens,
        semconv.RESPONSE_ID: answer.body.get("id"),
        semconv.RESPONSE_MODEL: answer.body.get("model"),
        semconv.FINISH_REASONS: [str(one.get("finish_reason")) for one in _objects(choices)] or _end_of(answer),
    }


def is_truncated(answer: Answer) -> bool:
    """Return whether an answer ended at a limit of tokens: in OpenAI's words, in Anthropic's, or of the Responses API."""
    ends = [one.get("finish_reason") for one in _objects(answer.body.get("choices"))]
    details = answer.body.get("incomplete_details")
    why = details.get("reason") if is_object(details) else None
    return "length" in ends or answer.body.get("stop_reason") == "max_tokens" or why == "max_output_tokens"


_BESIDE_THE_TEXT: Final = frozenset(
    {"id", "call_id", "object", "created", "created_at", "model", "usage", "system_fingerprint"}
)
_GIVEN: Final = frozenset({"arguments", "input"})
"""What a tool is called with: there an id is part of what is said."""


def text_of_answer(answer: Answer | None) -> str:
    """Return what an answer says, as plain text, "" for none.

    An answer of any endpoint that is text alone is that text; one with tool calls or of another shape is its JSON without
    what differs from call to call.
    """
    if answer is None:
        return ""
    pieces = [piece for one in _objects(answer.body.get("choices")) for piece in _said(one)]
    if not pieces:
        blocks = [*_objects(answer.body.get("content")), *_objects(answer.body.get("output"))]
        pieces = [piece for block in blocks for piece in _said({"message": block})]
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return "\n".join(str(piece) for piece in pieces).strip()
    return json.dumps(_lasting(answer.body), sort_keys=True, ensure_ascii=False, default=str)


def _lasting(value: Any) -> Any:
    """Return a JSON value without what differs from call to call, and without fields that are null."""
    if is_array(value):
        return [_lasting(item) for item in value]
    if not is_object(value):
        return value
    return {
        name: item if name in _GIVEN else _lasting(item)
        for name, item in value.items()
        if item is not None and name not in _BESIDE_THE_TEXT
    }


def _said(choice: dict[str, Any]) -> list[str | None]:
    """Return the texts of one choice or block, None in the place of whatever is no text."""
    message: Any = choice.get("message", choice)
    if not is_object(message) or message.get("tool_calls") or message.get("function_call"):
        return [None]
    content = message.get("content", message.get("text"))
    if isinstance(content, str):
        return [content]
    parts = _objects(content)
    texts = [part.get("text") for part in parts]
    return [text if isinstance(text, str) else None for text in texts] or [None]


def _end_of(answer: Answer) -> list[str]:
    """Return the one end of an answer without choices: of the Messages and the Responses API."""
    end = answer.body.get("stop_reason") or answer.body.get("status")
    return [str(end)] if end is not None else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if is_object(item)] if is_array(value) else []
