"""The clean end of a ``chat.completion``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from ...middleware.records import Request

CLEAN: Final = frozenset({"stop", "tool_calls", "function_call"})
_NAMED: Final = frozenset({"length", "content_filter"})


def refuse_chat(request: Request, body: Mapping[str, Any]) -> str | None:
    """Return the label of the first thing that is wrong, None where nothing is."""
    choices = items(body.get("choices"))
    if not choices:
        return "no_choices"
    asked = request.params.get("n")
    if len(choices) != (1 if asked is None else asked):
        return "wrong_choice_count"
    wants_logprobs = request.params.get("logprobs") is True
    labels = (_refuse_choice(choice, wants_logprobs=wants_logprobs) for choice in choices)
    return next((label for label in labels if label is not None), None)


def refuse_finish(reason: Any) -> str | None:
    """Return the label of a finish_reason that is no clean end."""
    if reason is None:
        return "finish_reason_null"
    if isinstance(reason, str) and reason in CLEAN:
        return None
    return f"finish_reason_{reason}" if isinstance(reason, str) and reason in _NAMED else "finish_reason_other"


def is_arguments(text: Any) -> bool:
    """Return whether a tool call's arguments are the text of a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def items(value: Any) -> Sequence[Any]:
    """Return a list as it is, and anything else as an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def _refuse_choice(choice: Any, *, wants_logprobs: bool) -> str | None:
    if not isinstance(choice, Mapping):
        return "not_an_object"
    fields = cast("Mapping[str, Any]", choice)
    message: Any = fields.get("message")
    if not isinstance(message, Mapping):
        return "not_an_object"
    said = cast("Mapping[str, Any]", message)
    unclean = refuse_finish(fields.get("finish_reason"))
    if unclean is not None:
        return unclean
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
    calls = list(items(message.get("tool_calls")))
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
    return isinstance(called.get("name"), str) and is_arguments(called.get("arguments"))
