"""What of a request says how long its answer will be: a few counts and word lists, and the words themselves, hashed.

Which features there are was decided on arena_hard and alpaca_eval by leaving out one at a time: code, calculation, tables, the
last line and pairs of words say nothing that the others do not.
"""

from __future__ import annotations

import math
import re
import zlib
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np

from ...middleware.keys import canonical_text, text_of
from .words import BUCKET, FAMILIES, families_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...middleware.analysis.facts import RequestFacts, Subject

    Array = NDArray[np.float64]
    Indices = NDArray[np.integer[Any]]

MAX_DIMENSION: Final = 384
"""Vectors with more axes are folded to this many, so that the state stays below 1 MB."""

_HEAD: Final = 300
_TAIL: Final = 150
_MAX_TOKENS: Final = 10_000_000
_MAX_CHOICES: Final = 128
_MANY: Final = 3
_SPACED: Final = 1_000
_CONSTANT: Final = 0.3
_FAR: Final = 1e6
TYPICAL: Final = 250.0
"""Output tokens of an answer of which nothing is known."""
_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
_ROUNDING: Final = 1e-6
_BUCKET: Final = np.array(BUCKET, np.int32)

_WORD: Final = re.compile(r"\w+")
_SIGN: Final = re.compile(r"[^\w\s]")
_LETTERS: Final = bytes(code if re.match(r"\w", chr(code), re.ASCII) else ord(" ") for code in range(256))
_BYTES: Final = tuple(bytes([code]) for code in range(256))
_NO_SIGNS: Final = bytes(code for code in range(256) if _LETTERS[code] != ord(" ") or chr(code).isspace())
_UNITS: Final[Mapping[bytes, float]] = {
    name.encode(): tokens
    for tokens, names in (
        (1.3, "word words"),
        (12.0, "line lines"),
        (22.0, "sentence sentences"),
        (100.0, "paragraph paragraphs"),
        (500.0, "page pages"),
        (35.0, "item items step steps way ways example examples idea ideas question questions point points tip tips"),
        (35.0, "reason reasons thing things"),
    )
    for name in names.split()
}
"""Tokens of what a prompt may ask a number of."""

_CLOSED: Final = frozenset(b"who when where which is are was were did does do can could has".split())
_OTHERS: Final[Mapping[str, float]] = {
    "bias": 0.0,
    "words": 0.0,
    "word_length": 0.0,
    "lines": 0.0,
    "questions": 0.0,
    "digits": 0.0,
    "signs": 0.0,
    "asked": 0.6,
    "closed": -0.3,
    "limited": 0.0,
    "limit": 0.2,
    "stops": 0.0,
    "structured": -0.2,
    "tools": -0.3,
}
NAMES: Final = (*_OTHERS, *FAMILIES)
PRIOR: Final = (*_OTHERS.values(), *(weight for weight, _ in FAMILIES.values()))
"""What each feature is thought to do before anything was learned; rules of thumb, fitted to nothing."""


class Features(NamedTuple):
    """What the regressions are told.

    Attributes:
        lexical: one number a name of `NAMES`, about within [-3, 3].
        words: buckets of the words, each word once.
        signs: 1 or -1 a word, over the square root of their number: a vector of norm 1.
        vector: the question's, folded, with a constant as its last axis; None where there is none.
        limit: the caller's limit of the whole output in tokens, None for none.
        choices: answers asked for.
        digest: equal for questions of the same words and as many characters.
    """

    lexical: tuple[float, ...]
    words: Indices
    signs: Array
    vector: Array | None
    limit: int | None
    choices: int
    digest: int


def features_of(subject: Subject) -> Features:
    """Return the features of a request; no JSON value makes it raise."""
    text = (subject.key.text if subject.key is not None else "") or _question(subject.request.messages)
    # what is to be done stands at one of the ends; what lies between is material
    ends = text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    words, signs, each = _words(ends.lower())
    packed = array("I", map(zlib.crc32, each))
    hashed = np.frombuffer(packed, np.int32)
    params: Any = subject.request.params
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", params) if isinstance(params, (dict, Mapping)) else {}
    choices = min(_count(fields["n"]) or 1, _MAX_CHOICES) if "n" in fields else 1
    limit = _limit(fields, subject.facts)
    digits = [at for at, word in enumerate(words) if word.isdigit()]
    seen = max(1, len(words) + signs)
    lines, length = text.count("\n"), len(text)
    # of a longer text the first characters stand for the rest: counting what is frequent is dear
    spaced = math.log1p(text.count(" ", 0, _SPACED) * max(1.0, length / _SPACED) + lines + 1)
    lexical = (
        1.0,
        (spaced - 3.5) / 1.5,
        math.log1p(length) - spaced - 1.7,
        math.log1p(lines) / 2,
        min(_MANY, text.count("?")) / 2,
        min(1.0, 5 * len(digits) / seen),
        3 * signs / seen,
        _asked(words, digits),
        1.0 if words and words[0] in _CLOSED else 0.0,
        *_limits(fields, subject.facts, limit),
        *families_of(each),
    )
    return Features(
        lexical=lexical,
        words=hashed & _BUCKET,
        # a word counts one way or the other by the first bit of its hash
        signs=np.copysign(1.0 / math.sqrt(max(1, len(each))), ~hashed),
        vector=_folded(subject.vector),
        limit=limit * choices if limit is not None else None,
        choices=choices,
        digest=zlib.crc32(packed, length),
    )


def _words(text: str) -> tuple[Sequence[bytes], int, set[bytes]]:
    """Return the words of a text in lower case, the number of its signs, and each word and sign once.

    Signs are all that is neither of a word nor a blank.
    """
    if text.isascii():  # a fifth of what the regular expressions take
        raw = text.encode("ascii")
        words, signs = raw.translate(_LETTERS).split(), raw.translate(None, _NO_SIGNS)
        return words, len(signs), {*words, *map(_BYTES.__getitem__, set(signs))}
    words = [word.encode("utf-8", "replace") for word in _WORD.findall(text)]
    others = [sign.encode("utf-8", "replace") for sign in _SIGN.findall(text)]
    return words, len(others), {*words, *others}


def _asked(words: Sequence[bytes], digits: Sequence[int]) -> float:
    """Return how much longer than usual an answer of the size that the prompt names would be, 0 where it names none."""
    for at in digits:
        for unit in words[at + 1 : at + 4]:
            if unit in _UNITS:
                tokens = max(1, int(words[at][:4])) * _UNITS[unit]
                return max(-3.0, min(3.0, math.log(tokens / TYPICAL)))
    return 0.0


def _limits(fields: Mapping[str, Any], facts: RequestFacts, limit: int | None) -> tuple[float, ...]:
    profile = facts.profile
    stops, tools = fields.get("stop"), fields.get("tools")
    structured = profile.structured if profile is not None else bool(fields.get("response_format"))
    return (
        0.0 if limit is None else 1.0,
        0.0 if limit is None else max(-3.0, min(0.0, math.log((limit + 1) / (4 * TYPICAL)))),
        1.0 if (profile.stops if profile is not None else stops) else 0.0,
        1.0 if structured else 0.0,
        1.0 if (profile.tools if profile is not None else tools) else 0.0,
    )


def _limit(fields: Mapping[str, Any], facts: RequestFacts) -> int | None:
    if facts.profile is not None and facts.profile.max_tokens is not None:
        return min(facts.profile.max_tokens, _MAX_TOKENS)
    if _LIMITS.isdisjoint(fields):
        return None
    found = [count for name in _LIMITS if (count := _count(fields.get(name))) is not None]
    return min(found) if found else None


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= _MAX_TOKENS:
        return None
    return int(value)


def _folded(vector: Sequence[float] | None) -> Array | None:
    """Return a vector of norm 1 with at most so many axes, those beyond added to the first ones, and a constant behind."""
    if vector is None or not len(vector):
        return None
    try:
        packed = vector if isinstance(vector, array) and vector.typecode == "f" else array("f", vector)
    except (TypeError, ValueError, OverflowError):
        return None
    values = np.frombuffer(packed, np.float32)
    size = min(len(values), MAX_DIMENSION)
    folded = np.empty(size + 1)
    head = folded[:size]
    head[:] = values if len(values) == size else values[:size]
    square = float(head.dot(head))
    if len(values) > size:
        beyond = values[size:].astype(np.float64)
        square += float(beyond.dot(beyond))
    norm = math.sqrt(square) if square < math.inf else math.inf  # not so for NaN
    if not 1 / _FAR <= norm <= _FAR:
        return None
    for start in range(size, len(values), size):
        rest = values[start : start + size]
        head[: len(rest)] += rest if start // size % 2 else -rest
    folded[size] = _CONSTANT * norm
    if abs(norm - 1.0) > _ROUNDING:  # most are of norm 1
        folded /= norm
    return folded


def _question(messages: Any) -> str:
    """Return the text of the last user turn, as the key has it."""
    if not isinstance(messages, (list, tuple)):
        return ""
    for message in reversed(cast("Sequence[Any]", messages)):
        if isinstance(message, Mapping):
            fields = cast("Mapping[str, Any]", message)
            if fields.get("role") == "user":
                return canonical_text(text_of(fields.get("content"))[0])
    return ""
