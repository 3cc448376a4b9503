"""The write gate that every answer passes: whole, well formed, and ended because the model was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from ...middleware.records import Answer, Request

_CLEAN: Final = frozenset({"stop", "tool_calls", "function_call"})
_NAMED: Final = frozenset({"length", "content_filter"})


class CleanEnd:
    """Refuses answers that are incomplete, empty, malformed, refusals or errors.

    Labels: not_an_object, error_body, no_choices, wrong_choice_count, finish_reason_length,
    finish_reason_content_filter, finish_reason_null, finish_reason_other, refusal, empty, invalid_tool_arguments,
    logprobs_missing. Only ``stop``, ``tool_calls`` and ``function_call`` are clean ends.
    """

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or the label of the first thing that is wrong with an OpenAI ``chat.completion`` body."""
        body: Any = answer.body
        if not isinstance(body, Mapping):
            return "not_an_object"
        fields = cast("Mapping[str, Any]", body)
        if fields.get("error") is not None:
            return "error_body"
        choices = _list(fields.get("choices"))
        if not choices:
            return "no_choices"
        asked = request.params.get("n")
        if len(choices) != (1 if asked is None else asked):
            return "wrong_choice_count"
        wants_logprobs = request.params.get("logprobs") is True
        labels = (_refuse_choice(choice, wants_logprobs=wants_logprobs) for choice in choices)
        return next((label for label in labels if label is not None), None)


def _refuse_choice(choice: Any, *, wants_logprobs: bool) -> str | None:
    if not isinstance(choice, Mapping):
        return "not_an_object"
    fields = cast("Mapping[str, Any]", choice)
    message: Any = fields.get("message")
    if not isinstance(message, Mapping):
        return "not_an_object"
    said = cast("Mapping[str, Any]", message)
    reason: Any = fields.get("finish_reason")
    if reason is None:
        return "finish_reason_null"
    if not isinstance(reason, str) or reason not in _CLEAN:
        return f"finish_reason_{reason}" if isinstance(reason, str) and reason in _NAMED else "finish_reason_other"
    if said.get("refusal"):
        return "refusal"
    calls = _calls(said)
    content: Any = said.get("content")
    blank = not content or (isinstance(content, str) and not content.strip())
    if blank and not calls and not said.get("audio"):
        return "empty"
    if not all(map(_is_valid_call, calls)):
        return "invalid_tool_arguments"
    if wants_logprobs and not fields.get("logprobs"):
        return "logprobs_missing"
    return None


def _calls(message: Mapping[str, Any]) -> list[Any]:
    """Return all calls: ``tool_calls`` and the older ``function_call`` in the shape of one."""
    older: Any = message.get("function_call")
    calls = list(_list(message.get("tool_calls")))
    return calls if older is None else [*calls, {"type": "function", "function": older}]


def _is_valid_call(call: Any) -> bool:
    if not isinstance(call, Mapping):
        return False
    fields = cast("Mapping[str, Any]", call)
    if fields.get("type", "function") != "function":
        return True  # a custom tool takes free text
    function: Any = fields.get("function")
    if not isinstance(function, Mapping):
        return False
    called = cast("Mapping[str, Any]", function)
    try:
        return isinstance(called.get("name"), str) and isinstance(json.loads(called["arguments"]), dict)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
