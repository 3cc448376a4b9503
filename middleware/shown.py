"""What a caller sees of forebay in a response: headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import CacheStatus

if TYPE_CHECKING:
    from .errors import ShedError
    from .flight import Flight


def headers_of(flight: Flight, *, similarity: bool = False) -> dict[str, str]:
    """Return the headers that say what became of a request.

    Args:
        similarity: tell it, too; to a stranger it is an oracle.
    """
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


def headers_of_refusal(error: ShedError, request_id: str) -> dict[str, str]:
    """Return the headers of a refused request."""
    return {
        "retry-after": str(error.retry_after_s),
        "x-forebay-cache": CacheStatus.SHED.value,
        "x-forebay-id": request_id,
    }
