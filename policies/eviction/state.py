"""Reading snapshots of eviction policies back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...middleware.narrow import is_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject


def rows_of(state: JsonObject, policy: str, columns: int, name: str = "entries") -> Sequence[Sequence[Any]]:
    """Return the rows of a snapshot.

    Raises:
        ValueError: it is not a snapshot of this policy.
    """
    rows: Any = state.get(name)
    if state.get("policy") != policy or not is_array(rows):
        raise ValueError(said(policy))
    found = [row for row in rows if is_array(row) and len(row) == columns]
    if len(found) < len(rows):
        raise ValueError(said(policy))
    return found


def id_of(value: Any, policy: str) -> str:
    """Return an entry's id.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(said(policy))  # noqa: TRY004 - what is wrong is the snapshot
    return value


def amount_of(value: Any, policy: str) -> float:
    """Return a number that is not negative.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(said(policy))
    return float(value)


def said(policy: str) -> str:
    """Return what is said of a state that is another's."""
    return f"not a snapshot of the eviction policy {policy!r}; delete it to start with none"
