"""A selector as text, for other processes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ...middleware.errors import CoordinationError
from ...middleware.narrow import is_object
from ...middleware.records import Selector


def selector_text(selector: Selector) -> str:
    """Return a selector as JSON."""
    return json.dumps({name: value for name, value in asdict(selector).items() if value is not None})


def selector_from(text: str) -> Selector:
    """Read a selector.

    Raises:
        CoordinationError: it is not one that this version knows: what it is about cannot be told.
    """
    try:
        fields: Any = json.loads(text)
    except ValueError:
        fields = None
    if not is_object(fields) or not set(fields) <= set(Selector.__dataclass_fields__):
        raise CoordinationError("another worker wrote a note that this version cannot read; run one version")
    if not all(_fits(str(name), value) for name, value in fields.items()):
        raise CoordinationError("another worker wrote a note that holds what a selector does not")
    return Selector(**{str(name): value for name, value in fields.items()})


def _fits(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return False
    if name.endswith("_s"):
        return isinstance(value, (int, float))
    return isinstance(value, int if name == "epoch" else str)
