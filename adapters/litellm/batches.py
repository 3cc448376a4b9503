"""Embedding inputs: items that are looked up one by one, and of which LiteLLM sends on only what was not found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...middleware.keys import UncacheableError, canonical_json
from .endpoints.embeddings import cached_embedding, item_of, items_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.flight import Flight
    from .calls import Call


def items_in(flight: Flight, data: Mapping[str, Any]) -> list[str]:
    """Return a batch's items in canonical form, one a part; [] for all other requests."""
    return [_canonical(item) for item in items_of(data.get("input"))] if flight.parts else []


def index_of(call: Call, item: object) -> int:
    """Return which part of a batch an item is, -1 where it is none."""
    name = _canonical(item)
    return call.items.index(name) if name in call.items else -1


def kept_item(call: Call | None, index: int) -> dict[str, Any] | None:
    """Return an item's kept vector as LiteLLM keeps it, None where there is none."""
    parts = call.flight.parts if call is not None else []
    return cached_embedding(parts[index]) if 0 <= index < len(parts) else None


def whole_batch(call: Call, kwargs: Mapping[str, Any], response: object) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the call as it was before LiteLLM took out the items that were found, and what the engine was asked."""
    flight = call.flight
    asked = items_of(kwargs.get("input"))
    opened = [at for at, part in enumerate(flight.parts) if part.entry is None]
    if [_canonical(item) for item in asked] == [call.items[at] for at in opened]:
        kwargs = {**kwargs, "input": [item_of(message) for message in flight.request.messages]}
    return kwargs, {"input": asked, "response": response}


def _canonical(item: object) -> str:
    try:
        return canonical_json(item)
    except UncacheableError:
        return ""
