"""Entries and keys for tests."""

from __future__ import annotations

import hashlib
from typing import Any

from forebay.middleware.records import Answer, Entry, Key, Query, Vector

EMBEDDER = "words@1"
DIMENSION = 4


def digest(text: str) -> str:
    """Return a hex digest as keys have them."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def make_answer(text: str = "An answer.") -> Answer:
    body = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return Answer(body, input_tokens=7, output_tokens=11)


def make_entry(**overrides: Any) -> Entry:
    """Return an entry; its id is made from its question where none is given."""
    question = overrides.get("question", "What is a forebay?")
    fields: dict[str, Any] = {
        "id": digest(f"id {overrides.get('scope')} {question!a}"),
        "scope": digest("scope"),
        "context": "",
        "question": question,
        "answer": make_answer(),
        "model": "small",
        "tenant": digest("tenant"),
        "created_s": 1_700_000_000.25,
        "expires_s": 1_700_003_600.25,
        "vector": (1.0, 0.0, 0.0, 0.0),
        "embedder": EMBEDDER,
        "cost": 18.0,
        "size_bytes": 100,
        "tags": ("a", "b"),
        "epoch": 3,
    }
    return Entry(**(fields | overrides))


def key_of(entry: Entry) -> Key:
    """Return the key of the request that an entry answers."""
    return Key(scope=entry.scope, context=entry.context, exact=entry.id, text=entry.question, reading=entry.reading)


ALONG: Vector = (1.0, 0.0, 0.0, 0.0)


def query_of(
    entry: Entry, vector: Vector = ALONG, limit: int = 5, *, embedder: str = EMBEDDER, context: Vector | None = None
) -> Query:
    """Return a search in an entry's group.

    Args:
        context: the context's vector.
    """
    return Query(key_of(entry), vector, embedder, limit, context)
