"""What LiteLLM's stream objects know beyond what they hand out.

A stream remembers its chunks in a list that the router's wrapper around it shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...middleware.chat import assemble
from ...middleware.narrow import is_array

if TYPE_CHECKING:
    from collections.abc import Iterator


def has_end(stream: object) -> bool:
    """Return whether the upstream itself ended its stream.

    LiteLLM writes finish_reason "stop" under a stream that broke off without one, but not into the chunks it
    remembers.
    """
    return any(getattr(choice, "finish_reason", None) is not None for choice in _choices(stream))


def logprobs_of(stream: object) -> dict[str, Any] | None:
    """Return the token probabilities of a stream's answer: the whole answer LiteLLM makes of it has none."""
    pieces = [_plain(getattr(choice, "logprobs", None)) for choice in _choices(stream)]
    body = assemble({"choices": [{"logprobs": piece}]} for piece in pieces if piece is not None).body
    return body["choices"][0]["logprobs"] if body["choices"] else None


def _choices(stream: object) -> Iterator[object]:
    chunks = getattr(stream, "chunks", None)
    if is_array(chunks):
        for chunk in chunks:
            yield from getattr(chunk, "choices", None) or ()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if dump is not None else value
