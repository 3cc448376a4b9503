"""What forebay must know of an endpoint to look its requests up and to keep its answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ....middleware.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ....middleware.flight import Flight
    from ....middleware.records import Answer, JsonObject


@runtime_checkable
class Collecting(Protocol):
    """An endpoint whose streams LiteLLM does not bring for keeping."""

    def collected(self, flight: Flight, chunks: Sequence[object]) -> Answer | None:
        """Return the answer that the chunks of a whole stream make, in LiteLLM's types."""
        ...


class Endpoint(Protocol):
    """One of LiteLLM's call types.

    Attributes:
        name: `Request.endpoint`.
        call_type: LiteLLM's name of the call.
        metadata: the field of the call in which LiteLLM carries its own notes along.
        content: the field that holds what is asked.
        params: fields that change the answer, beside those the client sends.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def call_type(self) -> str: ...  # noqa: D102
    @property
    def metadata(self) -> str: ...  # noqa: D102
    @property
    def content(self) -> str: ...  # noqa: D102
    @property
    def params(self) -> frozenset[str]: ...  # noqa: D102

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return what is asked as chat messages, None where it cannot be read: LiteLLM will say what is wrong."""
        ...

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return the answer that LiteLLM brings for keeping, None where it is not this endpoint's or not whole.

        Args:
            value: what LiteLLM would write into its cache, JSON text read.
            stream: LiteLLM's stream object, None for a whole answer.
        """
        ...

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return a flight's hit as LiteLLM's response cache would return it.

        Args:
            words: of the text in one piece of a stream.
        """
        ...


def body_of(flight: Flight) -> dict[str, Any]:
    """Return the body of a flight's hit, for the caller to keep: LiteLLM writes into what it gets."""
    assert flight.hit is not None
    body: dict[str, Any] = json.loads(json.dumps(dict(flight.hit.entry.answer.body)))
    return body


def value_of(value: object) -> object:
    """Return what LiteLLM brought with its JSON text read; None where it cannot be read."""
    response = value.get("response") if is_object(value) and "timestamp" in value else value
    if isinstance(response, (str, bytes)):
        try:
            return json.loads(response)
        except ValueError:
            return None
    dump = getattr(response, "model_dump", None)
    return dump(mode="json") if dump is not None else response


def objects(value: object) -> list[dict[str, Any]] | None:
    """Return a list of objects, None where it is anything else."""
    return list(value) if is_array(value) and all(is_object(item) for item in value) else None
