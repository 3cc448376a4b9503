"""What the fields of a request say of its answer's form, whichever API they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

JsonFields = Mapping[str, Any]

_NOTHING: Final[JsonFields] = {}
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_LIMITING: Final = frozenset(_LIMITS)
_STOPS: Final = frozenset({"stop", "stop_sequences"})
_NO_LIMIT: Final = 1_000_000_000
"""A limit beyond this is none."""
_GRAMMARS: Final = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",  # vLLM
    "grammar",
    "json_schema",  # llama.cpp
    "regex",
    "ebnf",  # SGLang
    "text_format",
    "output_format",
)
_SHAPING: Final = frozenset({*_GRAMMARS, "response_format", "text", "output_config", "tool_choice", "function_call"})
_TOOLS: Final = frozenset({"tools", "functions", "tool_choice", "function_call"})
_FORCED: Final = frozenset({"required", "any", "tool", "function", "custom"})


def fields_of(value: Any) -> JsonFields:
    """Return a JSON object, an empty one for anything else."""
    return cast("JsonFields", value) if isinstance(value, (dict, Mapping)) else _NOTHING


def items_of(value: Any) -> Sequence[Any]:
    """Return a JSON array, an empty one for anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


def params_of(params: Any) -> JsonFields:
    """Return a request's parameters with those that clients put into ``extra_body``."""
    fields = fields_of(params)
    if "extra_body" not in fields:
        return fields
    return {**fields_of(fields["extra_body"]), **fields}


def max_tokens_of(params: JsonFields) -> int | None:
    """Return the caller's limit of the output, None where there is none or it is no number of tokens."""
    if _LIMITING.isdisjoint(params):
        return None
    for name in _LIMITS:
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _NO_LIMIT:
            return value
    return None


def stops_of(params: JsonFields) -> int:
    """Return the number of stop sequences."""
    if _STOPS.isdisjoint(params):
        return 0
    for name in ("stop", "stop_sequences"):
        value = params.get(name)
        if isinstance(value, str):
            return 1
        if count := sum(isinstance(item, str) for item in items_of(value)):
            return count
    return 0


def tools_of(params: JsonFields) -> int:
    """Return how many tools the engine may call: none where the choice forbids them, some where it allows only these."""
    if _TOOLS.isdisjoint(params):
        return 0
    choice = params.get("tool_choice", params.get("function_call"))
    if choice == "none" or fields_of(choice).get("type") == "none":
        return 0
    allowed = fields_of(choice)
    if allowed.get("type") == "allowed_tools":
        return len(items_of(fields_of(allowed.get("allowed_tools", allowed)).get("tools")))
    return len(items_of(params.get("tools"))) + len(items_of(params.get("functions")))


def is_structured(params: JsonFields) -> bool:
    """Return whether an output of a fixed form is asked for."""
    if _SHAPING.isdisjoint(params):
        return False
    formats = (
        params.get("response_format"),
        fields_of(params.get("text")).get("format"),
        fields_of(params.get("output_config")).get("format"),
    )
    if any(fields_of(each).get("type", "text") != "text" for each in formats):
        return True
    if any(params.get(name) for name in _GRAMMARS):
        return True
    choice = params.get("tool_choice")
    kind = choice if isinstance(choice, str) else fields_of(choice).get("type")
    if isinstance(kind, str) and kind in _FORCED:
        return True
    mode = fields_of(fields_of(choice).get("allowed_tools")).get("mode", fields_of(choice).get("mode"))
    return mode == "required" or bool(fields_of(params.get("function_call")))
