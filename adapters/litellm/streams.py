"""What LiteLLM's stream objects know beyond what they hand out.

A stream remembers its chunks in a list that the router's wrapper around it shares.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ...middleware.chat import assemble
from ...middleware.narrow import is_array

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST: Final = 64
"""Streams looked at in search of the innermost one; LiteLLM puts about five around it."""


def chunked(stream: object) -> object:
    """Return the innermost stream that remembers its chunks; asked before the first chunk is read.

    LiteLLM wraps streams for the router, for headers and for other endpoints, in objects and in generators.

    Returns:
        None where there is none: the provider itself speaks the endpoint's format.
    """
    found: object = None
    waiting: deque[object] = deque([stream])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if _remembers(one):
            found = one
        waiting.extend(inner for inner in _held_by(one) if hasattr(inner, "__anext__") or hasattr(inner, "__aiter__"))
    return found


def _held_by(stream: object) -> Iterator[object]:
    """Yield what an iterator or a generator that has not ended holds."""
    frame: Any = getattr(stream, "ag_frame", None)
    if frame is not None:
        yield from frame.f_locals.values()
    yield from getattr(stream, "__dict__", {}).values()


def has_end(stream: object) -> bool:
    """Return whether the upstream itself ended its stream, and with a word for it that is known.

    LiteLLM writes finish_reason "stop" under a stream that broke off without one, but not into the chunks it
    remembers; and it makes "stop" of every word it does not know, "error" included.
    """
    word = getattr(stream, "received_finish_reason", None)
    if isinstance(word, str) and not is_known_end(word):
        return False
    return any(
        getattr(choice, "finish_reason", None) is not None
        for chunk in _chunks(stream)
        for choice in getattr(chunk, "choices", None) or ()
    )


def is_known_end(word: str) -> bool:
    """Return whether an engine's own finish_reason is one of the usual words, clean or not."""
    return word.lower() in _KNOWN_ENDS


_KNOWN_ENDS: Final = frozenset(
    "stop length tool_calls function_call content_filter refusal eos eos_token end_turn stop_sequence tool_use max_tokens "
    "complete completed done".split()
)


def _remembers(stream: object) -> bool:
    return is_array(getattr(stream, "chunks", None)) and hasattr(stream, "received_finish_reason")


def choices_of(stream: object) -> list[dict[str, Any]]:
    """Return the choices of a chat stream's answer, with all that LiteLLM's own assembling leaves out.

    That is logprobs, refusals, and every choice but the first.
    """
    pieces = (
        {"choices": [_plain(choice) for choice in getattr(chunk, "choices", None) or ()]} for chunk in _chunks(stream)
    )
    return [_without_nothing(choice) for choice in assemble(pieces).body["choices"]]


def _without_nothing(choice: dict[str, Any]) -> dict[str, Any]:
    """Drop what an empty delta leaves behind: a tool call or refusal that is None."""
    message = {name: value for name, value in choice["message"].items() if value is not None or name == "content"}
    return {**choice, "message": message}


def _chunks(stream: object) -> Iterator[object]:
    chunks = getattr(stream, "chunks", None)
    if is_array(chunks):
        yield from chunks


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if dump is not None else value
