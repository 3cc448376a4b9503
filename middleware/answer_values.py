"""What an answer says about itself on the span of the engine's call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def _end_of(answer: Answer) -> list[str]:
    """Return the one end of an answer without choices: of the Messages and the Responses API."""
    end = answer.body.get("stop_reason") or answer.body.get("status")
    return [str(end)] if end is not None else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if is_object(item)] if is_array(value) else []
