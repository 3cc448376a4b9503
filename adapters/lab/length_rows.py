"""Prompts with the lengths of their answers, read from files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ...middleware.errors import AdapterError
from ...middleware.narrow import is_array, is_object
from .files import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ...middleware.records import JsonObject

ONE_MODEL: Final = "engine"
"""Name of the answering model where a file names none."""


class LengthsError(AdapterError):
    """A file of lengths cannot be read; names file and line, never what the line says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and how long each model's answer to it was.

    Attributes:
        messages: the prompt as chat messages.
        tokens: output tokens by answering model.
    """

    messages: Sequence[JsonObject]
    tokens: Mapping[str, int]
    tenant: str = "default"


def read_lengths(path: Path) -> list[Asked]:
    """Read JSON lines, ``.gz`` or not, in order.

    Each has ``prompt`` (text) or ``messages`` (OpenAI's), and either ``output_tokens`` (a number; perhaps ``model`` and ``tenant``)
    or ``out_tokens_est`` (a number by model). Other fields are passed over.

    Raises:
        LengthsError: it is something else, or cannot be read.
    """
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise LengthsError(f"{path} cannot be read ({error.__class__.__name__})") from error
    rows: list[Asked] = []
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            try:
                rows.append(_asked(json.loads(line)))
            except (ValueError, RecursionError) as error:
                why = "it is not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
                raise LengthsError(f"{path}, line {number}: {why}") from None
    if not rows:
        raise LengthsError(f"{path} holds no rows; each line must be JSON with 'prompt' and 'output_tokens'")
    return rows


def _asked(row: Any) -> Asked:
    if not is_object(row):
        raise ValueError("it must be a JSON object with 'prompt' and 'output_tokens'")
    return Asked(_messages(row), _tokens(row), _name(row, "tenant") or "default")


def _messages(row: JsonObject) -> Sequence[JsonObject]:
    prompt, messages = row.get("prompt"), row.get("messages")
    if isinstance(prompt, str) and messages is None:
        return ({"role": "user", "content": prompt},)
    if is_array(messages) and messages and all(map(is_object, messages)) and prompt is None:
        return messages
    raise ValueError("give either 'prompt' (text) or 'messages' (a list of chat messages)")


def _tokens(row: JsonObject) -> Mapping[str, int]:
    one, many = row.get("output_tokens"), row.get("out_tokens_est")
    if many is None and _is_count(one):
        return {_name(row, "model") or ONE_MODEL: int(one)}
    if one is None and is_object(many) and many and all(map(_is_count, many.values())):
        return {name: int(tokens) for name, tokens in many.items()}
    raise ValueError(
        "give either 'output_tokens' (a number of at least 1) or 'out_tokens_est' (such a number for each model)"
    )


def _is_count(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < float("inf")


def _name(row: JsonObject, field: str) -> str:
    value = row.get(field)
    if value is None or isinstance(value, str):
        return value or ""
    raise ValueError(f"{field!r} must be text")
