"""All that touches pymilvus, which is hardly typed: everything it hands out is `Any` from here on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .filters import COLUMN_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.records import Vector

PAYLOAD_BYTES: Final = 65_535
"""The longest VARCHAR that Milvus takes."""

TEXT_COLUMNS: Final = ("scope", "context", "tenant", "model", "embedder")
NUMBER_COLUMNS: Final = ("created_s", "expires_s")


class Profile(StrEnum):
    """What a collection has beside a question's vector.

    `HYBRID`: the context's vector and the question's words as fields of their own, all searched together. `ONE`: the
    context's vector as text, compared here with that of the query; for a Milvus that refuses the other.
    """

    HYBRID = "question, context and words"
    ONE = "question"


_COMMON: Final = ("id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "has_vector", "payload", "vector")
COLUMNS: Final[Mapping[Profile, tuple[str, ...]]] = {
    Profile.ONE: (*_COMMON, "context_code"),
    Profile.HYBRID: (*_COMMON, "has_context", "context_vector", "words"),
}
WORDS_BYTES: Final = 8192
"""How much of a question its words are taken from."""

_SPARSE: Final = "sparse"
_VECTOR_WEIGHT: Final = 0.8
_COLLECTION_NOT_FOUND: Final = 100
_grpc: Any = import_module("grpc")
_pymilvus: Any = import_module("pymilvus")

# pymilvus logs a traceback, with the text of the request in it, for every call that fails; each of them
# becomes a StoreError that forebay counts and reports
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


def make_client(uri: str, token: str, timeout_s: float) -> Any:
    """Return an `AsyncMilvusClient` that connects with its first call and whose `close` ends its channel."""
    return _pymilvus.AsyncMilvusClient(uri=uri, token=token, timeout=timeout_s, dedicated=True)


def make_schema(dimension: int, profile: Profile) -> Any:
    """Return the schema of a collection whose vectors have `dimension` floats."""
    kinds = _pymilvus.DataType
    schema = _pymilvus.AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=COLUMN_BYTES)
    for name in TEXT_COLUMNS:
        schema.add_field(name, kinds.VARCHAR, max_length=COLUMN_BYTES)
    for name in NUMBER_COLUMNS:
        schema.add_field(name, kinds.DOUBLE)
    schema.add_field("has_vector", kinds.BOOL)
    schema.add_field("payload", kinds.VARCHAR, max_length=PAYLOAD_BYTES)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dimension)
    if profile is Profile.ONE:
        schema.add_field("context_code", kinds.VARCHAR, max_length=PAYLOAD_BYTES)
        return schema
    schema.add_field("has_context", kinds.BOOL)
    schema.add_field("context_vector", kinds.FLOAT_VECTOR, dim=dimension)
    schema.add_field("words", kinds.VARCHAR, max_length=WORDS_BYTES, enable_analyzer=True)
    schema.add_field(_SPARSE, kinds.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        _pymilvus.Function(
            name="bm25",
            function_type=_pymilvus.FunctionType.BM25,
            input_field_names=["words"],
            output_field_names=[_SPARSE],
        )
    )
    return schema


def make_index(profile: Profile, *, lite: bool) -> Any:
    """Return the index parameters, with cosine for vectors and BM25 for words.

    HNSW on a server. Milvus Lite would rebuild it with every segment, 0.8 ms a row, for searches that the hot tier makes
    in memory once it is filled; so it compares with every row.
    """
    index = _pymilvus.AsyncMilvusClient.prepare_index_params()
    for name in ("vector", "context_vector") if profile is Profile.HYBRID else ("vector",):
        if lite:
            index.add_index(name, index_type="FLAT", metric_type="COSINE")
        else:
            index.add_index(name, index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 128})
    if profile is Profile.HYBRID:
        index.add_index(_SPARSE, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return index


def make_accesses_schema() -> Any:
    """Return the schema of the collection that holds batches of accesses."""
    kinds = _pymilvus.DataType
    schema = _pymilvus.AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=COLUMN_BYTES)
    schema.add_field("payload", kinds.VARCHAR, max_length=PAYLOAD_BYTES)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=2)  # older servers want one in every collection
    return schema


def make_accesses_index() -> Any:
    """Return the index parameters of that collection."""
    index = _pymilvus.AsyncMilvusClient.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    return index


@dataclass(frozen=True, slots=True)
class Routes:
    """The searches of a hybrid search, and what weighs their results against each other."""

    requests: Sequence[Any]
    ranker: Any


def make_routes(
    sought: Mapping[str, Vector], words: str, template: str, values: Mapping[str, Any], limit: int
) -> Routes:
    """Return a search of one field each.

    Args:
        sought: what to search for, by the field of vectors.
        words: a question's words; "" searches for none.
        template: the filter of each, with its values beside it.
        limit: candidates each brings.
    """
    width = {"ef": max(64, limit)}
    filtered = {"expr": template, "expr_params": dict(values)}
    requests: list[Any] = [
        _pymilvus.AnnSearchRequest(
            [[float(value) for value in vector]], name, {"metric_type": "COSINE", "params": width}, limit, **filtered
        )
        for name, vector in sought.items()
    ]
    weights = [_VECTOR_WEIGHT / len(sought)] * len(sought)
    if words:
        requests.append(_pymilvus.AnnSearchRequest([words], _SPARSE, {"metric_type": "BM25"}, limit, **filtered))
        weights.append(1.0 - _VECTOR_WEIGHT)
    return Routes(requests, _pymilvus.WeightedRanker(*weights))


def is_refusal(error: Exception) -> bool:
    """Return whether a Milvus answered a call, and said no."""
    return isinstance(error, _pymilvus.MilvusException) and isinstance(_code(error), int)


def is_collection_missing(error: Exception) -> bool:
    """Return whether a call failed because its collection is gone."""
    return isinstance(error, _pymilvus.MilvusException) and _code(error) == _COLLECTION_NOT_FOUND


def error_label(error: Exception) -> str:
    """Return a short label for a failed call, without the text of the request that pymilvus puts in."""
    code = _code(error)
    if isinstance(code, int):
        return f"code {int(code)}"
    return str(code.name) if isinstance(code, _grpc.StatusCode) else type(error).__name__


def _code(error: Any) -> Any:
    # pymilvus's errors have a number, or the gRPC status of the failed call, gRPC's own have a method
    code = getattr(error, "code", None)
    return code() if callable(code) else code
