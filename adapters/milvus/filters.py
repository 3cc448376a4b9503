"""Milvus filters: always a fixed template with its values beside it, never text with values in it.

Every text that is compared goes through `column` first, on writing and on asking, so that no value holds a
quote, a backslash or anything else a filter parser reads. `fill` does for Milvus Lite, which ignores filter
templates, what a Milvus server does with them, and refuses every value that `column` would not have made.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.records import Selector

Value: TypeAlias = "str | bool | int | float | list[str]"

COLUMN_BYTES: Final = 128
BY_ID: Final = "id in {ids}"
"""Of all filters on the primary key, the one that Milvus Lite looks up by key."""

_PLAIN: Final = re.compile(rf"[0-9A-Za-z._:@/+-]{{0,{COLUMN_BYTES}}}")
_DIGEST: Final = "sha256:"
_NAME: Final = re.compile(r"\{([a-z_]+)\}")


class FilterError(ValueError):
    """A filter template and its values do not fit; its text names the placeholder, never the value."""


def column(text: str) -> str:
    """Return the text as it is kept in a column: itself where it is short and plain, else its digest."""
    if _PLAIN.fullmatch(text) and not text.startswith(_DIGEST):
        return text
    return _DIGEST + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def of_columns(selector: Selector) -> Selector:
    """Return what columns can tell of a selector; the rest is only in the payloads."""
    return replace(selector, tag=None, system=None, version=None, epoch=None)


def selection(selector: Selector) -> tuple[str, dict[str, Value]]:
    """Return template and values for what columns can tell of a selector; ("", {}) where that is nothing."""
    texts = {"id": selector.id, "scope": selector.scope, "tenant": selector.tenant, "model": selector.model}
    values: dict[str, Value] = {name: column(text) for name, text in texts.items() if text is not None}
    terms = [f"{name} == {{{name}}}" for name in values]
    if selector.expired_at_s is not None:
        terms.append("expires_s <= {expired_at}")
        values["expired_at"] = float(selector.expired_at_s)
    if selector.created_before_s is not None:
        terms.append("created_s < {created_before}")
        values["created_before"] = float(selector.created_before_s)
    return " and ".join(terms), values


def fill(template: str, values: Mapping[str, Value]) -> str:
    """Return the filter with its values written in.

    Raises:
        FilterError: a placeholder has no value, or a value that cannot be written safely.
    """

    def literal(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise FilterError(f"no value for {name}")
        return _literal(name, values[name])

    return _NAME.sub(literal, template)


def filled(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with the values written into its filter, for a server that knows no templates.

    Raises:
        FilterError: see `fill`.
    """
    values = arguments.get("filter_params")
    if values is None:
        return dict(arguments)
    rest = {name: value for name, value in arguments.items() if name != "filter_params"}
    return rest | {"filter": fill(arguments["filter"], values)}


def _literal(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(_literal(name, item) for item in value)}]"
    raise FilterError(f"the value of {name} cannot be written into a filter")
