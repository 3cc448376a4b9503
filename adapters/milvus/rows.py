"""Entries as rows of a Milvus collection, and what a collection must look like to hold them."""

from __future__ import annotations

import base64
import math
import zlib
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import PayloadError, StoreError, StoreMismatchError
from ...middleware.payload import decode_entry, encode_entry
from .driver import COLUMNS, PAYLOAD_BYTES
from .filters import column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.keys import Keyring
    from ...middleware.records import Entry

READ_COLUMNS: Final = ("id", "payload", "has_vector", "vector")

_PACKED: Final = "z:"
_UNPACKED_LIMIT: Final = 16 * 1024 * 1024


def to_row(entry: Entry, keyring: Keyring, dimension: int) -> dict[str, Any]:
    """Return the row of an entry.

    An entry without a direction (no vector, or all zeros) gets a stand-in that searches leave out by the
    column ``has_vector``: Milvus wants a vector in every row.

    Raises:
        PayloadError: the answer is not JSON.
        StoreError: it is too large, its id is not plain text, or its vector holds NaN or infinity.
        StoreMismatchError: its vector has another length than the collection's.
    """
    if column(entry.id) != entry.id or not entry.id:
        raise StoreError("an entry's id must be 1 to 128 letters, digits or ._:@/+-")
    vector = None if entry.vector is None else [float(value) for value in entry.vector]
    if vector is not None and len(vector) != dimension:
        raise StoreMismatchError(
            f"a vector has {len(vector)} dimensions, the collection holds {dimension}; "
            "set store.collection to another name for another embedder"
        )
    norm = math.hypot(*vector) if vector is not None else 0.0
    if not math.isfinite(norm):
        raise StoreError("a vector holds NaN or infinity; check the embedder")
    return {
        "id": entry.id,
        "scope": column(entry.scope),
        "context": column(entry.context),
        "tenant": column(entry.tenant),
        "model": column(entry.model),
        "embedder": column(entry.embedder),
        "created_s": float(entry.created_s),
        "expires_s": float(entry.expires_s),
        "has_vector": norm > 0.0,
        "payload": pack(encode_entry(entry, keyring)),
        "vector": vector if vector is not None and norm > 0.0 else [1.0] + [0.0] * (dimension - 1),
    }


def from_row(row: Mapping[str, Any], keyring: Keyring) -> Entry:
    """Read an entry back; its columns are not believed, only its signed payload is.

    Raises:
        PayloadError: it is damaged, signed by a key we do not have, or of another schema.
    """
    vector = tuple(float(value) for value in row["vector"]) if row.get("has_vector") else None
    return decode_entry(str(row["id"]), unpack(str(row["payload"])), keyring, vector=vector)


def pack(payload: str) -> str:
    """Return a payload as it fits into a VARCHAR: itself, or compressed where it is longer.

    Compression makes room for ordinary answers of about 200,000 characters.

    Raises:
        StoreError: it is too large even so.
    """
    if len(payload) <= PAYLOAD_BYTES:
        return payload
    packed = _PACKED + base64.b64encode(zlib.compress(payload.encode("utf-8"))).decode("ascii")
    if len(packed) > PAYLOAD_BYTES:
        raise StoreError(
            f"too large: an answer of {len(payload)} bytes, {len(packed)} compressed; Milvus keeps {PAYLOAD_BYTES}"
        )
    return packed


def unpack(kept: str) -> str:
    """Return the payload that `pack` was given.

    Raises:
        PayloadError: it is damaged, or would be larger than any answer we keep.
    """
    if not kept.startswith(_PACKED):
        return kept
    try:
        reader = zlib.decompressobj()
        raw = reader.decompress(base64.b64decode(kept[len(_PACKED) :], validate=True), _UNPACKED_LIMIT)
        if not reader.eof:
            raise PayloadError("a kept answer is cut off or too large")
        return raw.decode("utf-8")
    except (ValueError, zlib.error):
        raise PayloadError("a kept answer is not a signed payload") from None


def check_collection(described: Mapping[str, Any], dimension: int, *, where: str) -> None:
    """Refuse a collection that cannot hold our rows.

    Args:
        described: what Milvus says about the collection.
        where: names collection and place, for the message.

    Raises:
        StoreMismatchError: a column is missing or the vectors have another length.
    """
    fix = "set store.collection to another name, or run `forebay cache clear` to empty this one"
    fields: dict[str, Any] = {str(field["name"]): field for field in described["fields"]}
    missing = [name for name in COLUMNS if name not in fields]
    if missing:
        raise StoreMismatchError(f"{where} was not made by this version: it lacks {', '.join(missing)}; {fix}")
    found = int(fields["vector"]["params"]["dim"])
    if found != dimension:
        raise StoreMismatchError(
            f"{where} holds vectors of {found} dimensions, the configured embedder makes {dimension}; {fix}"
        )
