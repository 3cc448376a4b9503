"""What LiteLLM's users see of forebay beside response headers: savings in the spend log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .host import prices_of
from .requests import metadata_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Call


def note_savings(call: Call, kwargs: Mapping[str, Any]) -> None:
    """Note what a hit would have cost, on the flight and where LiteLLM's spend log shows it."""
    flight = call.flight
    hit = flight.hit
    if hit is None:
        return
    read, written = prices_of(kwargs)
    answer = hit.entry.answer
    flight.saved_usd = read * answer.input_tokens + written * answer.output_tokens
    metadata = metadata_of(kwargs, call.endpoint.metadata)
    if metadata is not None:
        shown = {
            "tier": hit.tier.value,
            "entry": hit.entry.id,
            "request": flight.request.id,
            "saved_tokens": answer.input_tokens + answer.output_tokens,
            "saved_usd": flight.saved_usd,
        }
        metadata["spend_logs_metadata"] = {**(metadata.get("spend_logs_metadata") or {}), "forebay": shown}
