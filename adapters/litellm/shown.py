"""What LiteLLM's users see of forebay: response headers, and savings in the spend log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .host import prices_of
from .requests import metadata_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Call


def headers_of_call(call: Call, *, similarity: bool) -> dict[str, str]:
    """Return our response headers for a call.

    Args:
        similarity: tell it, too; to a stranger it is an oracle.
    """
    flight = call.flight
    headers = {"x-forebay-cache": flight.status.value, "x-forebay-id": flight.request.id}
    if flight.parts:
        found = sum(part.entry is not None for part in flight.parts)
        headers["x-forebay-cache-items"] = f"{found}/{len(flight.parts)}"
    hit = flight.hit
    if hit is not None:
        headers["x-forebay-age"] = str(int(hit.age_s))
        headers["x-forebay-saved-tokens"] = str(hit.entry.answer.input_tokens + hit.entry.answer.output_tokens)
        if flight.saved_usd > 0:
            headers["x-forebay-saved-usd"] = f"{flight.saved_usd:.8f}"
        if similarity:
            headers["x-forebay-similarity"] = f"{hit.similarity:.4f}"
    return headers


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
