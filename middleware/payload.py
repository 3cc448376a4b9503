"""How an entry is written into a store: JSON with a schema version and an HMAC; never pickle.

The signature covers the entry's id, so a payload copied to another id is refused, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .errors import PayloadError
from .records import Answer, Entry

if TYPE_CHECKING:
    from .keys import Keyring
    from .records import Vector

SCHEMA: Final = 2


def encode_entry(entry: Entry, keyring: Keyring) -> str:
    """Return the signed text of an entry, without its vectors: stores keep them in fields of their own.

    Raises:
        PayloadError: the answer is not JSON.
    """
    fields = {
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
        "cost": entry.cost,
        "tags": list(entry.tags),
        "epoch": entry.epoch,
        "system": entry.system,
        "grace_s": entry.grace_s,
        "error_grace_s": entry.error_grace_s,
    }
    try:
        data = json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the answer cannot be written as JSON ({type(error).__name__})") from None
    kid = keyring.current
    return json.dumps({"v": SCHEMA, "kid": kid, "mac": keyring.sign(kid, entry.id, data), "data": data})


def decode_entry(
    entry_id: str, payload: str, keyring: Keyring, *, vector: Vector | None = None, context_vector: Vector | None = None
) -> Entry:
    """Read an entry back.

    Raises:
        PayloadError: it is damaged, signed by a key we do not have, or of another schema.
    """
    try:
        outer: Any = json.loads(payload)
        version, kid, mac, data = outer["v"], outer["kid"], outer["mac"], outer["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PayloadError("a kept answer is not a signed payload") from None
    if version != SCHEMA:
        raise PayloadError(f"a kept answer has schema {version!r}; this version reads {SCHEMA}")
    if not (isinstance(kid, str) and isinstance(mac, str) and isinstance(data, str)):
        raise PayloadError("a kept answer is not a signed payload")
    if not keyring.verify(kid, mac, entry_id, data):
        raise PayloadError("a kept answer has a wrong signature")
    try:
        fields: Any = json.loads(data)
        answer = fields["answer"]
        return Entry(
            id=entry_id,
            scope=str(fields["scope"]),
            context=str(fields["context"]),
            reading=str(fields["reading"]),
            question=str(fields["question"]),
            answer=Answer(dict(answer["body"]), int(answer["input_tokens"]), int(answer["output_tokens"])),
            model=str(fields["model"]),
            tenant=str(fields["tenant"]),
            created_s=float(fields["created_s"]),
            expires_s=float(fields["expires_s"]),
            vector=vector,
            context_vector=context_vector,
            embedder=str(fields["embedder"]),
            cost=float(fields["cost"]),
            size_bytes=len(payload),
            tags=tuple(str(tag) for tag in fields["tags"]),
            epoch=int(fields["epoch"]),
            # entries that were written before there were such have none
            system=str(fields.get("system", "")),
            grace_s=float(fields.get("grace_s", 0.0)),
            error_grace_s=float(fields.get("error_grace_s", 0.0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PayloadError("a kept answer lacks a field") from None
