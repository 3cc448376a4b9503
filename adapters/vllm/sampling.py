"""vLLM's sampling parameters as the part of a key that they are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, cast

from ...middleware.keys import UncacheableError

_TOLD: Final = frozenset({"max_tokens", "temperature"})
"""What is told at its default, too: whoever judges a request reads these, and vLLM's defaults are not OpenAI's."""

_DELIVERY: Final = frozenset(
    {"output_kind", "stream_interval", "skip_clone", "output_text_buffer_length", "skip_reading_prefix_cache"}
)
"""How an answer is computed or sent, not what it says."""

_UNKEPT: Final = frozenset(
    {"prompt_logprob_token_ids", "prompt_logprob_start", "routed_experts_prompt_start", "trace_decode_token_ids"}
)
"""Measurements of the model, whose outputs hold more than an answer does."""

_TRANSFERS: Final = frozenset({"kv_transfer_params", "ec_transfer_params"})
"""In ``extra_args``: the call is made for what it does to other servers' caches."""

_SETS: Final = frozenset({"allowed_token_ids", "bad_words", "stop_token_ids"})
"""Lists whose order means nothing; of ``stop`` the first of two that match wins."""


def params_of(sampling_params: object) -> dict[str, Any]:
    """Return every field that can change an answer and is not at its default, as JSON.

    It goes by the class's own list of fields, so that one which a later vLLM adds makes another key instead of being
    overlooked. The names are vLLM's, which are OpenAI's where OpenAI has the same; ``max_tokens`` and ``temperature`` are
    always there.

    Raises:
        UncacheableError: a field has no canonical form, or its answers are not to be kept.
    """
    said: dict[str, Any] = {}
    kind: Any = type(sampling_params)
    for name, default, usual in _fields(kind):
        value = getattr(sampling_params, name)
        if value is default and name not in _TOLD:
            continue  # nearly all
        form = _form(value)
        if name in _SETS and form is not None:
            form = sorted(set(form))
        if form == usual and name not in _TOLD:
            continue
        if name in _UNKEPT or (name == "extra_args" and not _TRANSFERS.isdisjoint(form or ())):
            raise UncacheableError(name)
        said[name] = form
    return said


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, Any], ...]:
    """Return the fields that count: name, default, and the default's form."""
    try:
        fresh = kind()
        names = [name for name in _names(fresh) if name not in _DELIVERY]
        return tuple((name, getattr(fresh, name), _form(getattr(fresh, name))) for name in names)
    except TypeError:
        raise UncacheableError(kind.__name__) from None


def _names(record: Any) -> list[str]:
    """Return the public fields of a msgspec struct or a dataclass.

    Raises:
        TypeError: it is neither.
    """
    named: Any = getattr(record, "__struct_fields__", None)
    if named is None:
        named = [field.name for field in dataclasses.fields(record)]
    return [name for name in named if not name.startswith("_")]


def _form(value: Any) -> Any:
    """Return JSON that is equal for values that mean the same."""
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UncacheableError("not finite")
        return float(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (list, tuple)):
        return [_form(item) for item in cast("list[Any]", value)]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_form, cast("set[Any]", value)), key=repr)
    if isinstance(value, Mapping):
        return _object(value)
    if dataclasses.is_dataclass(value) or hasattr(value, "__struct_fields__"):
        fields = {name: _form(getattr(value, name)) for name in _names(value)}
        return {name: form for name, form in fields.items() if form is not None}
    raise UncacheableError(type(value).__name__)


def _object(value: Any) -> dict[str, Any]:
    """Return a mapping whose keys are names or token ids."""
    form = {str(name): _form(item) for name, item in value.items() if isinstance(name, str) or type(name) is int}
    if len(form) != len(value):
        raise UncacheableError("object key")
    return form
