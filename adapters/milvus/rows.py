"""Entries as rows of a Milvus collection, and what a collection must look like to hold them."""

from __future__ import annotations

import base64
import binascii
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import PayloadError, StoreError, StoreMismatchError
from ...middleware.payload import decode_entry, encode_entry
from ..vectors.points import has_direction
from .driver import COLUMNS, PAYLOAD_BYTES, WORDS_BYTES, Profile
from .filters import column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.keys import Keyring
    from ...middleware.records import Entry, Vector

_READ: Final = ("id", "payload", "has_vector", "vector")
READ_COLUMNS: Final[Mapping[Profile, tuple[str, ...]]] = {
    Profile.ONE: (*_READ, "context_code"),
    Profile.HYBRID: (*_READ, "has_context", "context_vector"),
}
"""What an entry is read from."""

_UTF8_BYTES: Final = 4
"""The most that a character takes."""

_PACKED: Final = "z:"
_UNPACKED_LIMIT: Final = 16 * 1024 * 1024


def to_row(entry: Entry, keyring: Keyring, dimension: int, profile: Profile) -> dict[str, Any]:
    """Return the row of an entry.

    A vector that is not there, or all zeros, gets a stand-in that searches leave out by the columns ``has_vector`` and
    ``has_context``: Milvus wants all vectors in every row. ``context`` holds `Entry.comparable`, ``expires_s`` `Entry.until_s`.

    Raises:
        PayloadError: the answer is not JSON.
        StoreError: it is too large, its id is not plain text, or a vector holds NaN or infinity.
        StoreMismatchError: a vector has another length than the collection's.
    """
    if column(entry.id) != entry.id or not entry.id:
        raise StoreError("an entry's id must be 1 to 128 letters, digits or ._:@/+-")
    stand_in = [1.0] + [0.0] * (dimension - 1)
    vector = _direction(entry.vector, dimension)
    context = _direction(entry.context_vector, dimension)
    row: dict[str, Any] = {
        "id": entry.id,
        "scope": column(entry.scope),
        "context": column(entry.comparable),
        "tenant": column(entry.tenant),
        "model": column(entry.model),
        "embedder": column(entry.embedder),
        "created_s": float(entry.created_s),
        "expires_s": float(entry.until_s),
        "has_vector": vector is not None,
        "payload": pack(encode_entry(entry, keyring)),
        "vector": vector or stand_in,
    }
    if profile is Profile.ONE:
        return row | {"context_code": _code(context)}
    return row | {
        "has_context": context is not None,
        "context_vector": context or stand_in,
        "words": words_of(entry.question),
    }


def words_of(question: str) -> str:
    """Return what the words of a question are taken from."""
    return question[: WORDS_BYTES // _UTF8_BYTES].encode("utf-8", "replace").decode("utf-8")


def from_row(row: Mapping[str, Any], keyring: Keyring) -> Entry:
    """Read an entry back; its columns are not believed, only its signed payload is.

    Raises:
        PayloadError: it is damaged, signed by a key we do not have, or of another schema.
    """
    vector = array("f", row["vector"]) if row.get("has_vector") else None
    if "context_code" in row:
        context = _decoded(row["context_code"])
    else:
        context = array("f", row["context_vector"]) if row.get("has_context") else None
    payload = unpack(str(row["payload"]))
    return decode_entry(str(row["id"]), payload, keyring, vector=vector, context_vector=context)


def _direction(vector: Vector | None, dimension: int) -> list[float] | None:
    """Return a vector as Milvus takes it, None for one without a direction."""
    if vector is None:
        return None
    if len(vector) != dimension:
        raise StoreMismatchError(
            f"a vector has {len(vector)} dimensions, the collection holds {dimension}; "
            "set store.collection to another name for another embedder"
        )
    return [float(value) for value in vector] if has_direction(vector) else None


def _code(vector: list[float] | None) -> str:
    """Return a vector as text: base64 of float32, little-endian."""
    return "" if vector is None else base64.b64encode(_little(array("f", vector)).tobytes()).decode("ascii")


def _decoded(code: Any) -> array[float] | None:
    if not code:
        return None
    vector = array("f")
    try:
        vector.frombytes(base64.b64decode(str(code), validate=True))
    except (ValueError, binascii.Error):
        raise PayloadError("the vector of a kept answer's context is damaged") from None
    return _little(vector)


def _little(vector: array[float]) -> array[float]:
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


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


def check_collection(described: Mapping[str, Any], dimension: int, *, where: str) -> Profile:
    """Return what a collection has, and refuse one that cannot hold our rows.

    Args:
        described: what Milvus says about the collection.
        where: names collection and place, for the message.

    Raises:
        StoreMismatchError: a column is missing or the vectors have another length.
    """
    fix = "set store.collection to another name, or run `forebay cache clear` to empty this one"
    fields: dict[str, Any] = {str(field["name"]): field for field in described["fields"]}
    profile = Profile.HYBRID if "words" in fields else Profile.ONE
    missing = [name for name in COLUMNS[profile] if name not in fields]
    if missing:
        raise StoreMismatchError(f"{where} was not made by this version: it lacks {', '.join(missing)}; {fix}")
    found = int(fields["vector"]["params"]["dim"])
    if found != dimension:
        raise StoreMismatchError(
            f"{where} holds vectors of {found} dimensions, the configured embedder makes {dimension}; {fix}"
        )
    return profile
