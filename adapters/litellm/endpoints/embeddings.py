"""``/v1/embeddings``: each input item is looked up and kept on its own."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from litellm.types.caching import EMBEDDING_CACHE_FORMAT_VERSION  # pyright: ignore[reportMissingTypeStubs]

from ....middleware.narrow import is_array, is_object
from ....middleware.records import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ....middleware.flight import Flight, Part
    from ....middleware.records import JsonObject

PARAMS: Final = frozenset({"dimensions", "encoding_format", "extra_body", "input_type"})
MAX_ITEMS: Final = 512
"""Requests with more items than this pass through: looking them all up would hold up the others."""


class Embeddings:
    """Embeddings."""

    name = "embeddings"
    call_type = "aembedding"
    metadata = "metadata"
    content = "input"
    params = PARAMS

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return one message an item."""
        items = items_of(data.get("input"))
        return [message_of(item) for item in items] if 0 < len(items) <= MAX_ITEMS else None

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Note the vectors of the items that were computed; return that there are some.

        Args:
            flight: its parts get their answers.
            value: {"input": items that were asked of the engine, "response": the EmbeddingResponse's JSON}.
            stream: unused.
        """
        del stream
        if not is_object(value) or not is_object(value.get("response")):
            return None
        response = value["response"]
        rows = response.get("data")
        items = items_of(value.get("input"))
        if not is_array(rows) or len(rows) != len(items) or not _fit_together(rows):
            return None
        usage = response.get("usage")
        total = usage.get("prompt_tokens") if is_object(usage) else None
        shares = _shares(total if isinstance(total, int) else 0, len(rows))
        open_parts = [part for part in flight.parts if part.entry is None]
        if len(open_parts) != len(rows):
            return None
        for part, row, tokens in zip(open_parts, rows, shares, strict=True):
            body = {"embedding": row["embedding"], "model": response.get("model")}
            part.answer = Answer(body, input_tokens=tokens)
        return Answer({"parts": len(rows)}, input_tokens=sum(shares))

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return None: LiteLLM asks for each item by a key of its own."""
        del flight, kwargs, words
        return None


def items_of(given: object) -> list[Any]:
    """Return the items of an ``input``: a text, a list of tokens, or a list of these."""
    if isinstance(given, str):
        return [given]
    if not is_array(given):
        return []
    return [list(given)] if given and all(isinstance(token, int) for token in given) else list(given)


def message_of(item: Any) -> JsonObject:
    """Return an item as a message; what is not text goes into its scope."""
    return {"role": "user", "content": item if isinstance(item, str) else [{"type": "item", "item": item}]}


def item_of(message: JsonObject) -> Any:
    """Return the item that `message_of` made a message of."""
    content = message.get("content")
    return content if isinstance(content, str) or not content else content[0].get("item")


def cached_embedding(part: Part) -> dict[str, Any] | None:
    """Return the entry of a part as LiteLLM keeps embeddings."""
    if part.entry is None:
        return None
    body = part.entry.answer.body
    return {
        "embedding": body.get("embedding"),
        "index": 0,
        "object": "embedding",
        "model": body.get("model"),
        "prompt_tokens": part.entry.answer.input_tokens,
        "prompt_tokens_details": None,
        "format_version": EMBEDDING_CACHE_FORMAT_VERSION,
    }


def _fit_together(rows: Sequence[Any]) -> bool:
    """Return whether rows are in the order of their items, and vectors of one length."""
    if not all(is_object(row) and row.get("index") == at for at, row in enumerate(rows)):
        return False
    vectors = [row.get("embedding") for row in rows]
    return all(map(_is_vector, vectors)) and len({len(vector) for vector in vectors}) == 1


def _is_vector(value: Any) -> bool:
    if isinstance(value, str):  # base64
        return value != ""
    try:
        return bool(value) and isfinite(sum(value))  # of every number, without a step of Python for each
    except TypeError:
        return False


def _shares(total: int, number: int) -> list[int]:
    """Divide tokens evenly, so that they add up."""
    each, rest = divmod(total, number)
    return [each + (at < rest) for at in range(number)]
