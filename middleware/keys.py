"""The key of an answer: scope, context and question, as keyed digests.

Scope holds everything that must be equal before two requests may share an answer; it is never matched by
similarity. Context is what the question needs from earlier turns, as a reader read it: the same words in another
conversation are another key, and a question that stands alone is the same in all. Every digest is a full HMAC-SHA256 over
length-prefixed fields, so no two different field lists have the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import os
import secrets
import unicodedata
from array import array
from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigError
from .narrow import is_array, is_object
from .records import Key, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from .records import JsonObject, Request

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
"""Roles whose messages belong to the scope."""
SYSTEM_PARAMS: Final = ("system", "instructions")
"""Where Anthropic's messages and OpenAI's responses have their system prompt."""


class UncacheableError(ValueError):
    """A request holds a value that has no canonical form (NaN, infinity, an object that is not JSON)."""


class Keyring:
    """The secrets that digests and signatures are made with.

    Args:
        keys: key id → secret; old keys stay here so that what they signed can still be read.
        current: id of the key that new signatures use.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        self._keys = dict(keys)
        # copied for each signature: half of what `hmac.digest` takes, several times a request
        self._macs = {name: hmac.new(key, digestmod="sha256") for name, key in self._keys.items()}
        self.current = current

    @classmethod
    def from_secret(cls, secret: str) -> Keyring:
        """Make a keyring of one configured secret; its id is derived from it, so a new secret is a new id."""
        raw = secret.encode("utf-8")
        return cls({(name := hashlib.sha256(b"forebay key id" + raw).hexdigest()[:8]): raw}, name)

    @classmethod
    def from_state_dir(cls, state_dir: Path) -> Keyring:
        """Read ``secret.json`` (mode 0600), making it on the first start.

        Raises:
            ConfigError: the file is damaged, or cannot be made or read.
        """
        path = state_dir / "secret.json"
        try:
            _make_secret(path)
            data = json.loads(path.read_text(encoding="utf-8"))
            keys = {str(name): bytes.fromhex(secret) for name, secret in data["keys"].items()}
            current = str(data["current"])
            if not all(keys.values()) or current not in keys:
                raise ValueError
        except OSError as error:
            raise ConfigError(
                f"cannot be made or read ({error.strerror}); set 'secret', or point state_dir elsewhere",
                source=str(path),
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                "is damaged; restore it, or delete it to start with an empty cache", source=str(path)
            ) from None
        return cls(keys, current)

    def digest(self, *fields: str | bytes) -> str:
        """Return the hex HMAC-SHA256 of length-prefixed fields under the current key."""
        return self.sign(self.current, *fields)

    def sign(self, key_id: str, *fields: str | bytes) -> str:
        """Return the hex HMAC-SHA256 of length-prefixed fields under a named key.

        Raises:
            KeyError: there is no such key.
        """
        pieces: list[bytes] = []
        for item in fields:
            raw = item if isinstance(item, bytes) else item.encode("utf-8", "surrogatepass")
            pieces += (len(raw).to_bytes(8, "big"), raw)
        mac = self._macs[key_id].copy()
        mac.update(b"".join(pieces))
        return mac.hexdigest()

    def verify(self, key_id: str, signature: str, *fields: str | bytes) -> bool:
        """Return whether a signature is right; False for an unknown key."""
        if key_id not in self._keys:
            return False
        expected = self.sign(key_id, *fields).encode()
        return hmac.compare_digest(expected, signature.encode("utf-8", "surrogatepass"))  # as text it must be ASCII


_EMPTY: Final[Mapping[type, str]] = {list: "[]", dict: "{}"}
"""What most parts of most keys are."""
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return one text for all JSON values that mean the same: keys sorted, 1.0 written as 1.

    Raises:
        UncacheableError: NaN, infinity, or something that is not JSON.
    """
    if not value and type(value) in _EMPTY:
        return _EMPTY[type(value)]
    try:
        return _CANONICAL.encode(_plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UncacheableError(type(error).__name__) from None


def canonical_text(text: str) -> str:
    """Return text in NFC with unix line ends and without blanks around it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    # ASCII is in NFC
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text).strip()


def text_of(content: Any) -> tuple[str, list[Any]]:
    """Split message content into its text and its other parts (images, audio, files).

    Args:
        content: a string, None, or a list of OpenAI content parts.
    """
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not is_array(content):
        return "", [content]
    texts: list[str] = []
    others: list[Any] = []
    for part in content:
        if is_object(part) and part.get("type") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            others.append(part)
    return "\n".join(texts), others


def split_messages(messages: Sequence[JsonObject]) -> tuple[list[JsonObject], list[JsonObject], JsonObject | None]:
    """Return (system messages, earlier turns, the last user turn).

    The last turn is None where the conversation does not end with a user message.
    """
    system = [message for message in messages if message.get("role") in SYSTEM_ROLES]
    turns = [message for message in messages if message.get("role") not in SYSTEM_ROLES]
    if turns and turns[-1].get("role") == "user":
        return system, turns[:-1], turns[-1]
    return system, turns, None


DELIVERY: Final = frozenset({"stream", "stream_options"})
"""Parameters that say how an answer is sent, not what it says."""


UNREAD: Final = Reading(resolved=False, reason="unread")


def make_key(request: Request, keyring: Keyring, reading: Reading = UNREAD, *, epoch: int = 0) -> Key:
    """Return the key of a request's answer.

    Args:
        reading: what the question needs from earlier turns; unless it is resolved, all of them. It is not asked where there
            are none, nor believed where one of them holds more than text.

    Raises:
        UncacheableError: a field has no canonical form.
    """
    system, earlier, last = split_messages(request.messages)
    text, others = text_of(last.get("content")) if last is not None else ("", [])
    question = canonical_text(text)
    rest = {k: v for k, v in last.items() if k not in ("role", "content")} if last is not None else {}
    scope = keyring.digest(
        "scope/1",
        str(epoch),
        request.tenant,
        request.endpoint,
        request.model,
        canonical_json(system),
        canonical_json({name: value for name, value in request.params.items() if name not in DELIVERY}),
        canonical_json(_layout(last.get("content")) if last is not None and others else []),
        canonical_json(rest),
        "ends_with_user" if last is not None else "ends_otherwise",
    )
    leaning = ""
    if not earlier:
        context = ""
    elif reading.resolved and all(map(is_text, earlier)):
        leaning = reading.text
        context = keyring.digest("reading/1", leaning) if leaning else ""
    else:
        context = keyring.digest("context/1", canonical_json(earlier))
    read = (array("q", request.token_ids).tobytes(),) if request.token_ids else ()
    return Key(
        scope=scope,
        context=context,
        exact=keyring.digest("exact/1", scope, context, question, *read),
        text=question,
        reading=leaning,
        system=_system(system, request.params, keyring),
    )


def system_digest(keyring: Keyring, text: str) -> str:
    """Return the keyed digest by which what was asked with a system prompt is found, "" for none.

    Args:
        text: of all system and developer messages and parameters, joined by line ends.
    """
    prompt = canonical_text(text)
    return keyring.digest("system", prompt) if prompt else ""


def _system(messages: Sequence[JsonObject], params: JsonObject, keyring: Keyring) -> str:
    """Return the digest of a system prompt: messages, and what stands for one in other endpoints' parameters."""
    texts = [text_of(message.get("content"))[0] for message in messages]
    texts += [text_of(params[name])[0] for name in SYSTEM_PARAMS if name in params]
    return system_digest(keyring, texts[0] if len(texts) == 1 else "\n".join(texts)) if texts else ""


def is_text(turn: JsonObject) -> bool:
    """Return whether a turn is a role and its text alone: no image, no tool call and no name."""
    text, others = text_of(turn.get("content"))
    return set(turn) <= {"role", "content"} and bool(text) and not others


def _layout(content: Any) -> Any:
    """Return content with its texts blanked: which image stands before which text is part of the question."""
    if not is_array(content):
        return content
    return [{"type": "text"} if not text_of([part])[1] else part for part in content]


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    # written whole under another name and linked: a second process starting now sees all of it or none
    draft = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"current": "k1", "keys": {"k1": secrets.token_hex(32)}}, file)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = "not finite"
            raise ValueError(msg)
        return int(value) if value.is_integer() else value
    if isinstance(value, dict) or hasattr(value, "items"):
        return {_name(key): _plain(item) for key, item in _pairs(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in _sequence(value)]
    return value


def _name(key: Any) -> str:
    if not isinstance(key, str):
        msg = "object key"
        raise TypeError(msg)
    return key


def _sequence(value: Any) -> Iterable[Any]:
    return list(value)


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    return list(value.items())
