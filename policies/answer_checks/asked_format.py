"""Whether an answer has the format that the request asked for: JSON, or JSON of a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from .said import texts_of

if TYPE_CHECKING:
    from ...middleware.records import Answer, Request

SCHEMAS: Final = 64
"""Schemas that are remembered: the requests of a batch mostly share one."""

Validator: TypeAlias = Callable[[Any], bool]
"""Says whether a JSON value is of one schema."""
MakeValidator: TypeAlias = Callable[[Mapping[str, Any]], Validator]


class AskedFormat:
    """Refuses chat answers without the ``response_format`` that was asked for.

    Labels: not_json (``json_object`` asks for an object, ``json_schema`` for any value), schema_mismatch. A schema that is
    none, or that refers to others elsewhere, is not checked. Answers that call tools have no such format.

    Args:
        validator: makes the validator of a JSON schema, which raises where the schema is none; None checks no schema.
    """

    def __init__(self, validator: MakeValidator | None = None) -> None:
        self._validator = validator
        self._made = lru_cache(SCHEMAS)(self._make)

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or the label of the first choice that has another format."""
        asked: Any = request.params.get("response_format")
        if not isinstance(asked, Mapping):
            return None
        wanted = cast("Mapping[str, Any]", asked)
        kind: Any = wanted.get("type")
        if kind not in ("json_object", "json_schema"):
            return None
        validator = self._of(wanted) if kind == "json_schema" else _is_object
        for text in texts_of(request, answer):
            try:
                value: Any = json.loads(text)
            except (ValueError, RecursionError):
                return "not_json"
            if validator is not None and not _holds(validator, value):
                return "schema_mismatch" if kind == "json_schema" else "not_json"
        return None

    def _of(self, wanted: Mapping[str, Any]) -> Validator | None:
        named: Any = wanted.get("json_schema")
        schema: Any = cast("Mapping[str, Any]", named).get("schema") if isinstance(named, Mapping) else None
        if self._validator is None or not isinstance(schema, Mapping):
            return None
        try:
            return self._made(json.dumps(schema, sort_keys=True))
        except (TypeError, ValueError, RecursionError):
            return None

    def _make(self, schema: str) -> Validator | None:
        assert self._validator is not None
        try:
            return self._validator(json.loads(schema))
        except Exception:  # whatever the library raises about a schema that is none
            return None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _holds(validator: Validator, value: Any) -> bool:
    try:
        return validator(value)
    except Exception:  # a reference that leads nowhere, nesting that is too deep: the answer is not to blame
        return True
