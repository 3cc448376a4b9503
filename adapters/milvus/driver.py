"""All that touches pymilvus, which is hardly typed: everything it hands out is `Any` from here on."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

from .filters import COLUMN_BYTES

PAYLOAD_BYTES: Final = 65_535
"""The longest VARCHAR that Milvus takes."""

TEXT_COLUMNS: Final = ("scope", "context", "tenant", "model", "embedder")
NUMBER_COLUMNS: Final = ("created_s", "expires_s")
COLUMNS: Final = ("id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "has_vector", "payload", "vector")

_COLLECTION_NOT_FOUND: Final = 100
_grpc: Any = import_module("grpc")
_pymilvus: Any = import_module("pymilvus")

# pymilvus logs a traceback, with the text of the request in it, for every call that fails; each of them
# becomes a StoreError that forebay counts and reports
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


def make_client(uri: str, token: str, timeout_s: float) -> Any:
    """Return an `AsyncMilvusClient` that connects with its first call and whose `close` ends its channel."""
    return _pymilvus.AsyncMilvusClient(uri=uri, token=token, timeout=timeout_s, dedicated=True)


def make_schema(dimension: int) -> Any:
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
    return schema


def make_index(*, lite: bool) -> Any:
    """Return the index parameters, with cosine.

    HNSW on a server. Milvus Lite would rebuild it with every segment, 0.8 ms a row, for searches that are made in
    memory here (vectors.py) once a group's vectors have been read; so it compares with every row.
    """
    index = _pymilvus.AsyncMilvusClient.prepare_index_params()
    if lite:
        index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    else:
        index.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 128})
    return index


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
