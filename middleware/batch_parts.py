"""Answers in several parts, as those to several embedding inputs: each part is looked up and kept on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .narrow import is_array, is_object
from .records import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flight import Flight


def bodies_of(answer: Answer) -> Sequence[Any]:
    """Return the bodies of an answer in several parts, [] where it has none."""
    parts: Any = answer.body.get("parts") if is_object(answer.body) else None
    return parts if is_array(parts) else []


def share(flight: Flight, answer: Answer) -> None:
    """Give each part of a flight its part of the answer, so that it is kept on its own."""
    bodies = bodies_of(answer)
    if len(bodies) != len(flight.parts) or not bodies:
        return
    each, rest = divmod(answer.input_tokens, len(bodies))
    for at, (part, body) in enumerate(zip(flight.parts, bodies, strict=True)):
        part.answer = Answer(body, each + (at < rest))
