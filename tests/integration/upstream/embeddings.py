"""/v1/embeddings in OpenAI's format."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from typing import Any

from tests.integration.upstream.answer import Question

DIMENSIONS = 8


def inputs(body: dict[str, Any]) -> list[str]:
    """Return the inputs as text: a text, token ids, or a list of either."""
    given: Any = body["input"]
    if isinstance(given, str):
        return [given]
    items: list[Any] = given
    if items and isinstance(items[0], int):
        return [json.dumps(items)]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def read(body: dict[str, Any]) -> Question:
    return Question(body["input"], inputs(body))


def whole(body: dict[str, Any]) -> dict[str, Any]:
    items = inputs(body)
    vectors = [vector(item, body.get("dimensions") or DIMENSIONS) for item in items]
    tokens = sum(len(item.split()) for item in items)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(values, body.get("encoding_format"))}
            for index, values in enumerate(vectors)
        ],
        "model": str(body.get("model")),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: str, dimensions: int) -> list[float]:
    """Return a unit vector that depends on the text alone; it survives a round trip through 32 bits."""
    stream = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    raw = [number / 32768 - 1 for number in struct.unpack(f"<{dimensions}H", stream)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(value / length for value in raw))))


def _encoded(values: list[float], encoding: Any) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    return values
