"""The clean ends of all other endpoints' answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from .chat import is_arguments, items, refuse_finish

if TYPE_CHECKING:
    from ...middleware.records import Request

_STOPS: Final = frozenset({"end_turn", "stop_sequence", "tool_use"})
_STOP_LABELS: Final = {"max_tokens": "finish_reason_length", "refusal": "refusal"}
_INCOMPLETE_LABELS: Final = {
    "max_output_tokens": "finish_reason_length",
    "content_filter": "finish_reason_content_filter",
}


def refuse_completions(request: Request, body: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a ``text_completion``: one choice a prompt and n, each with text."""
    choices = items(body.get("choices"))
    if not choices:
        return "no_choices"
    asked = request.params.get("n")
    if len(choices) != _prompts(request) * (1 if asked is None else asked):
        return "wrong_choice_count"
    for choice in choices:
        if not isinstance(choice, Mapping):
            return "not_an_object"
        fields = cast("Mapping[str, Any]", choice)
        unclean = refuse_finish(fields.get("finish_reason"))
        if unclean is not None:
            return unclean
        text: Any = fields.get("text")
        if not isinstance(text, str) or not text.strip():
            return "empty"
        if request.params.get("logprobs") is not None and not fields.get("logprobs"):
            return "logprobs_missing"
    return None


def refuse_responses(request: Request, body: Mapping[str, Any]) -> str | None:  # noqa: ARG001  (one signature)
    """Return what is wrong with a ``response``: completed, with text or calls, and no refusal."""
    status: Any = body.get("status")
    if status != "completed":
        details: Any = body.get("incomplete_details")
        why: Any = cast("Mapping[str, Any]", details).get("reason") if isinstance(details, Mapping) else None
        label = _INCOMPLETE_LABELS.get(why, "finish_reason_other") if isinstance(why, str) else "finish_reason_other"
        return "finish_reason_null" if status is None else label
    said = False
    for item in items(body.get("output")):
        if not isinstance(item, Mapping):
            return "not_an_object"
        fields = cast("Mapping[str, Any]", item)
        if fields.get("status") not in (None, "completed"):
            return "finish_reason_other"
        if fields.get("type") == "function_call" and not is_arguments(fields.get("arguments")):
            return "invalid_tool_arguments"
        parts = [cast("Mapping[str, Any]", part) for part in items(fields.get("content")) if isinstance(part, Mapping)]
        if any(part.get("type") == "refusal" for part in parts):
            return "refusal"
        spoken = any(str(part.get("text") or "").strip() for part in parts) and fields.get("type") == "message"
        said = said or spoken or fields.get("type") not in ("message", "reasoning")
    return None if said else "empty"


def refuse_messages(request: Request, body: Mapping[str, Any]) -> str | None:  # noqa: ARG001  (one signature)
    """Return what is wrong with an Anthropic ``message``: a clean stop_reason, with text or tool uses."""
    reason: Any = body.get("stop_reason")
    if not isinstance(reason, str):
        return "finish_reason_null"
    if reason not in _STOPS:
        return _STOP_LABELS.get(reason, "finish_reason_other")
    said = False
    for block in items(body.get("content")):
        if not isinstance(block, Mapping):
            return "not_an_object"
        fields = cast("Mapping[str, Any]", block)
        if fields.get("type") == "tool_use" and not isinstance(fields.get("input"), Mapping):
            return "invalid_tool_arguments"
        spoken = fields.get("type") == "text" and bool(str(fields.get("text") or "").strip())
        said = said or spoken or fields.get("type") not in ("text", "thinking", "redacted_thinking")
    return None if said else "empty"


def refuse_embeddings(request: Request, body: Mapping[str, Any]) -> str | None:  # noqa: ARG001  (one signature)
    """Return what is wrong with one ``embedding``: a vector of numbers, or its base64 text."""
    vector: Any = body.get("embedding")
    if isinstance(vector, str):
        return None if vector else "empty"
    numbers = items(vector)
    if not numbers:
        return "empty"
    finite = all(isinstance(number, int | float) and number - number == 0 for number in numbers)
    return None if finite else "not_an_object"


def _prompts(request: Request) -> int:
    content: Any = request.messages[-1].get("content") if request.messages else None
    return max(1, len(items(content)))
