"""The prompt that a request makes, in the order in which engines render it, for comparing with others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from ...middleware.keys import SYSTEM_ROLES

if TYPE_CHECKING:
    from ...middleware.records import Request

HEAD_BYTES: Final = 4_096
TAIL_BYTES: Final = 1_024
"""Of a longer text its first and last bytes are split into words, the rest is counted as if it were alike."""

_BEFORE: Final = frozenset({"tools", "functions", "system", "instructions"})
_USUAL: Final = frozenset({"role", "content"})
_FEW: Final = 24
_DIGITS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_NO_IDEOGRAPH: Final = bytes(byte for byte in range(256) if not 0xE3 <= byte <= 0xED)  # noqa: PLR2004  (its first byte)
_IDEOGRAPH: Final = re.compile(rb"[\xe3-\xed][\x80-\xbf][\x80-\xbf]")
_UNITS: Final = re.compile(rb"[\xe3-\xed][\x80-\xbf][\x80-\xbf]|[^\s\xe3-\xed]+")


def prompt_of(request: Request, limit: int) -> tuple[bytes, bytes, bytes]:
    """Return the beginning of the prompt, the system text, and the text of the last user turn.

    Of the beginning at least `limit` bytes, where it is that long. Tools stand first, then Anthropic's ``system`` and the
    Responses API's ``instructions``, then roles and contents in order, other fields as JSON. What is added to a conversation
    is added at the end.

    In the other two digits are replaced by 0: dates and numbers in an otherwise constant part leave it constant.
    """
    params = _fields(request.params)
    pieces: list[bytes] = []
    size = 0
    system: list[str] = []
    if not _BEFORE.isdisjoint(params):
        pieces += [piece.encode("utf-8", "surrogatepass") for piece in _pieces(params)]
        size = sum(map(len, pieces))
        system += [text for text in (_text(params.get("system")), _text(params.get("instructions"))) if text]
    asked = b""
    for message in _items(request.messages):
        fields = _fields(message)
        role, content = fields.get("role"), fields.get("content")
        raw = (content if isinstance(content, str) else _content(content)).encode("utf-8", "surrogatepass")
        if size < limit:
            rest = ""
            if len(fields) > len(_USUAL):
                rest = _json({str(name): value for name, value in fields.items() if name not in _USUAL})
            begins = f"\x1e{role}\x1f".encode("utf-8", "surrogatepass")
            ends = rest.encode("utf-8", "surrogatepass")
            pieces += (begins, raw, ends)
            size += len(begins) + len(raw) + len(ends)
        if role == "user":
            asked = raw if isinstance(content, str) else _text(content).encode("utf-8", "surrogatepass")
        elif isinstance(role, str) and role in SYSTEM_ROLES:
            system.append(_text(content))
    about = "\n".join(system).encode("utf-8", "surrogatepass") if system else b""
    return b"".join(pieces), about.translate(_DIGITS), asked.translate(_DIGITS)


class Words:
    """The first words of a text, or the last ones, the very last first: what blanks separate, or ideographs.

    Attributes:
        known: those that were split off so far, at first only a few.
    """

    def __init__(self, text: bytes, *, last: bool = False) -> None:
        self._size = len(text)
        self._cut = self._size > HEAD_BYTES
        if self._cut:
            text = text[-TAIL_BYTES:] if last else text[:HEAD_BYTES]
        self._text = text
        self._last = last
        self._complete = False
        self.known = self._split(_FEW)

    def more(self) -> list[bytes]:
        """Return all that are looked at."""
        if not self._complete:
            self.known = self._split(-1)
        return self.known

    def number(self) -> int:
        """Return about how many there are in all of the text."""
        return len(self.more()) * self._size // max(1, len(self._text))

    def _split(self, most: int) -> list[bytes]:
        words = _ideographs(self._text)
        if words is None:
            words = self._text.rsplit(None, most) if self._last else self._text.split(None, most)
            self._complete = not 0 <= most < len(words)
        else:
            self._complete = True
        if self._last:
            words.reverse()
        if self._cut or not self._complete:
            del words[-1:]  # half a word, or all that was not split
        return words


def _ideographs(text: bytes) -> list[bytes] | None:
    """Return the words of a text with ideographs, None for another text."""
    if text.isascii() or not text.translate(None, _NO_IDEOGRAPH) or not _IDEOGRAPH.search(text):
        return None
    return _UNITS.findall(text)


def _pieces(params: Mapping[str, Any]) -> Iterator[str]:
    for name in ("tools", "functions"):
        if params.get(name):
            yield f"\x1e{name}\x1f{_json(params[name])}"
    for name in ("system", "instructions"):
        if params.get(name):
            yield f"\x1esystem\x1f{_content(params[name])}"


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [_fields(part) for part in _items(content)]
    texts = [part.get("text") for part in parts]
    return "".join(text if isinstance(text, str) else _json(part) for part, text in zip(parts, texts, strict=True))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [_fields(part).get("text") for part in _items(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""


def _fields(value: Any) -> Mapping[str, Any]:
    # first the one that nearly all are: a tenth of asking the other
    return cast("Mapping[str, Any]", value) if isinstance(value, (dict, Mapping)) else {}


def _items(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()
