"""Kept answers as lines of JSON: what ``forebay cache export`` writes and ``import`` reads.

The first line says what the file is, each further line is one entry with a keyed digest over all of it. Entries' ids and
scopes are keyed digests, too, so a file can only be used with the secret that it was written with.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any, Final

from ..errors import ForebayError, PayloadError
from ..narrow import is_array, is_object
from ..records import Answer, Entry

if TYPE_CHECKING:
    from ..keys import Keyring
    from ..records import Vector

FORMAT: Final = 1
_CHECK: Final = ("export/1", "which secret this file was written with")
_LINE: Final = "export/1 line"
_FLOAT_BYTES: Final = 4


def header_of(keyring: Keyring, *, version: str, created_s: float, embedder: str) -> str:
    """Return the first line.

    Args:
        version: of forebay.
        embedder: id of the configured embedder, "" where there is none; each entry names its own.
    """
    return _text(
        {
            "forebay_export": FORMAT,
            "version": version,
            "created_s": created_s,
            "embedder": embedder,
            "key_id": keyring.current,
            "key_check": keyring.digest(*_CHECK),
        }
    )


def check_header(line: str, keyring: Keyring) -> None:
    """Refuse a file that cannot be read here.

    Raises:
        ForebayError: it is no export, of another version, or was written with another secret.
    """
    header = _object(line)
    if header is None or "forebay_export" not in header:
        raise ForebayError("line 1: this is no file that `forebay cache export` wrote")
    found = header["forebay_export"]
    if found != FORMAT:
        raise ForebayError(
            f"line 1: the file has format {found!r}, this version reads {FORMAT}; export again with this version"
        )
    if header.get("key_check") != keyring.digest(*_CHECK):
        raise ForebayError(
            f"line 1: the file was written with another secret (key {header.get('key_id')!r}, here {keyring.current!r}), "
            "so its answers would never be found; set 'secret' to the one it was written with, or bring that "
            "state folder's secret.json"
        )


def line_of(entry: Entry, keyring: Keyring, *, vectors: bool = True) -> str:
    """Return the line of an entry.

    Args:
        vectors: with the vectors, as base64 of little-endian 32-bit floats.

    Raises:
        PayloadError: the answer is not JSON.
    """
    fields = {
        "id": entry.id,
        "scope": entry.scope,
        "context": entry.context,
        "reading": entry.reading,
        "question": entry.question,
        "answer": {
            "body": dict(entry.answer.body),
            "input_tokens": entry.answer.input_tokens,
            "output_tokens": entry.answer.output_tokens,
        },
        "model": entry.model,
        "tenant": entry.tenant,
        "created_s": entry.created_s,
        "expires_s": entry.expires_s,
        "embedder": entry.embedder,
        "vector": _packed(entry.vector) if vectors else None,
        "context_vector": _packed(entry.context_vector) if vectors else None,
        "cost": entry.cost,
        "size_bytes": entry.size_bytes,
        "tags": list(entry.tags),
        "system": entry.system,
        "grace_s": entry.grace_s,
        "error_grace_s": entry.error_grace_s,
        "epoch": entry.epoch,
    }
    try:
        return _text({"entry": fields, "mac": keyring.digest(_LINE, _text(fields))})
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the answer cannot be written as JSON ({type(error).__name__})") from None


def entry_of(line: str, keyring: Keyring) -> Entry:
    """Read a line back.

    Raises:
        PayloadError: it is damaged, was changed, or lacks a field.
    """
    outer = _object(line)
    fields: Any = outer.get("entry") if outer is not None else None
    mac: Any = outer.get("mac") if outer is not None else None
    if not (is_object(fields) and isinstance(mac, str)):
        raise PayloadError("it is cut off, or no entry")
    try:
        right = keyring.verify(keyring.current, mac, _LINE, _text(fields))
    except (ValueError, RecursionError):
        right = False
    if not right:
        raise PayloadError("it was changed: its digest is wrong")
    try:
        answer: Any = fields["answer"]
        return Entry(
            id=str(fields["id"]),
            scope=str(fields["scope"]),
            context=str(fields["context"]),
            reading=str(fields["reading"]),
            question=str(fields["question"]),
            answer=Answer(dict(answer["body"]), int(answer["input_tokens"]), int(answer["output_tokens"])),
            model=str(fields["model"]),
            tenant=str(fields["tenant"]),
            created_s=float(fields["created_s"]),
            expires_s=float(fields["expires_s"]),
            embedder=str(fields["embedder"]),
            vector=_unpacked(fields["vector"]),
            context_vector=_unpacked(fields["context_vector"]),
            cost=float(fields["cost"]),
            size_bytes=int(fields["size_bytes"]),
            tags=tuple(str(tag) for tag in fields["tags"]) if is_array(fields["tags"]) else (),
            epoch=int(fields["epoch"]),
            # files that were written before there were such have none
            system=str(fields.get("system", "")),
            grace_s=float(fields.get("grace_s", 0.0)),
            error_grace_s=float(fields.get("error_grace_s", 0.0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise PayloadError("it lacks a field") from None


def _object(line: str) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if is_object(found) else None


def _text(value: Any) -> str:
    # one text for one value: who rewrites a file with another tool may reorder it
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)


def _packed(vector: Vector | None) -> str | None:
    return None if vector is None else base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _unpacked(text: Any) -> Vector | None:
    if text is None:
        return None
    raw = base64.b64decode(text, validate=True)
    vector: tuple[float, ...] = struct.unpack(f"<{len(raw) // _FLOAT_BYTES}f", raw)
    if not (vector and math.isfinite(math.hypot(*vector))):
        raise ValueError
    return vector
