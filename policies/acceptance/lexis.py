"""English as data: how near two words are in meaning, what they are to each other, and how much a word tells.

The cosine of two whole questions does not say which of their words differ. With these tables the words that only
one side has can be matched with those of the other: "terminate" stands for "cancel", "dogs" for nothing.
"""

from __future__ import annotations

import json
import math
import zlib
from itertools import takewhile
from operator import eq, mul
from typing import TYPE_CHECKING, Final, NamedTuple

from .relations import SYNONYMS
from .words import stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .words import Word

SAME: Final = 0.9
"""A word stands for another from here on."""

_KINDRED: Final = 0.4
_SIBLING: Final = 0.5
_OTHER: Final = 0.8
_UNRELATED: Final = 0.3
_COMMON: Final = 50
_MEMO: Final = 16384
_SHORTEST: Final = 4
_ROOT: Final = 0.65


class Relation(NamedTuple):
    """What two words are to each other.

    Attributes:
        likeness: in [0, 1], how far one may stand for the other; `SAME` or more: it does.
        kind: ``same`` (synonym, other form, misspelling), ``opposite``, ``sibling`` (both are kinds of one thing: red and
            blue, France and Germany), ``kin`` (one is a kind of the other) or "".
    """

    likeness: float
    kind: str


class Senses(NamedTuple):
    """What a dictionary says of a stem: its meanings, what those are kinds of, other forms, opposites."""

    own: frozenset[str]
    above: frozenset[str]
    forms: frozenset[str]
    opposites: frozenset[str]


_NO_SENSES: Final = Senses(frozenset(), frozenset(), frozenset(), frozenset())


class Lexis:
    """Word vectors of one embedder, and the relations of a dictionary.

    Args:
        words: those that have a vector, the commonest first, in lower case, each once.
        table: one signed byte a component, word after word; only directions count.
        dimension: components of a vector.
        senses: by stem.

    Raises:
        ValueError: the table's size does not fit.
    """

    def __init__(self, words: Sequence[str], table: bytes, dimension: int, senses: Mapping[str, Senses]) -> None:
        if dimension < 1 or len(table) != len(words) * dimension:
            raise ValueError(f"{len(words)} words of {dimension} dimensions do not fill {len(table)} bytes")
        self._rank = {word: rank for rank, word in enumerate(words)}
        self._table = memoryview(table).cast("b")
        self._dimension = dimension
        self._senses = senses
        self._spread = math.log(max(len(words), _COMMON + 2) / _COMMON)
        self._vectors: dict[str, tuple[float, ...]] = {}
        self._relations: dict[tuple[str, str], Relation] = {}

    @classmethod
    def from_bytes(cls, content: bytes) -> Lexis:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: it is something else.
        """
        head, _, body = content.partition(b"\n")
        try:
            about = json.loads(head)
            text, _, table = zlib.decompress(body).partition(b"\0")
            words, _, lines = text.decode().partition("\n")
            senses = dict(_senses(line) for line in lines.splitlines())
            return cls(words.split(" "), table, int(about["dimension"]), senses)
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"not a table of words ({error})") from error

    def weight(self, word: Word) -> float:
        """Return how much a word tells, in [0.25, 1]: by the logarithm of its rank, 1 where it has none."""
        rank = self._rank.get(word.text)
        if rank is None:
            return 1.0
        return 0.25 + 0.75 * math.log(rank / _COMMON) / self._spread if rank > _COMMON else 0.25

    def relation(self, one: Word, other: Word) -> Relation:
        """Return what two words with different stems are to each other; symmetric."""
        key = (one.text, other.text) if one.text < other.text else (other.text, one.text)
        found = self._relations.get(key)
        if found is None:
            if len(self._relations) >= _MEMO:
                self._relations.clear()
            found = self._relations[key] = self._relate(one, other)
        return found

    def _relate(self, one: Word, other: Word) -> Relation:
        a, b = self._senses.get(one.stem, _NO_SENSES), self._senses.get(other.stem, _NO_SENSES)
        if other.stem in a.opposites or one.stem in b.opposites:
            return Relation(0.0, "opposite")
        if (
            not a.own.isdisjoint(b.own)
            or other.stem in a.forms
            or one.stem in b.forms
            or other.stem in _NEAR.get(one.stem, ())
            or _is_spelled_alike(one.stem, other.stem, known=a is not _NO_SENSES and b is not _NO_SENSES)
        ):
            return Relation(SAME, "same")
        nearness = max(0.0, sum(map(mul, self._vector(one.text), self._vector(other.text))) - _UNRELATED) / (
            1.0 - _UNRELATED
        )
        if not (a.own.isdisjoint(b.above) and b.own.isdisjoint(a.above)):
            return Relation(max(_KINDRED, 0.85 * nearness), "kin")
        if not a.above.isdisjoint(b.above):
            return Relation(_SIBLING * nearness, "sibling")
        return Relation(_OTHER * nearness, "")

    def _vector(self, word: str) -> tuple[float, ...]:
        found = self._vectors.get(word)
        if found is None:
            rank = self._rank.get(word)
            raw = [] if rank is None else self._table[rank * self._dimension :][: self._dimension].tolist()
            length = math.sqrt(sum(map(mul, raw, raw))) or 1.0
            found = self._vectors[word] = tuple(part / length for part in raw)
        return found


def to_bytes(
    words: Sequence[str], table: bytes, dimension: int, senses: Mapping[str, Senses], about: Mapping[str, object]
) -> bytes:
    """Return the file of a `Lexis`: one line of JSON, then all else, compressed.

    Args:
        about: where it comes from; for people.
    """
    head = json.dumps({**about, "words": len(words), "dimension": dimension, "stems": len(senses)}, sort_keys=True)
    lines = ("\t".join((name, *(" ".join(sorted(part)) for part in senses[name]))) for name in sorted(senses))
    text = "\n".join((" ".join(words), *lines))
    return head.encode() + b"\n" + zlib.compress(text.encode() + b"\0" + table, 9)


def _senses(line: str) -> tuple[str, Senses]:
    name, own, above, forms, opposites = line.split("\t")
    return name, Senses(*(frozenset(part.split()) for part in (own, above, forms, opposites)))


def _is_spelled_alike(one: str, other: str, *, known: bool) -> bool:
    """Return whether two stems are forms of one word, or one of them a misspelling.

    Two words that a dictionary knows are never misspellings of each other: affect and effect.
    """
    if min(len(one), len(other)) < _SHORTEST:
        return False
    longest = max(len(one), len(other))
    start = _common(iter(one), iter(other))
    if start >= _SHORTEST and start >= _ROOT * longest:
        return True
    # one letter more, less or another, or two that changed places
    rest = longest - start - _common(reversed(one[start:]), reversed(other[start:]))
    same_letters = rest <= 1 or sorted(one) == sorted(other)
    return not known and one[0] == other[0] and abs(len(one) - len(other)) <= 1 and rest <= 2 and same_letters  # noqa: PLR2004


def _common(one: Iterator[str], other: Iterator[str]) -> int:
    return sum(takewhile(bool, map(eq, one, other)))


def _near() -> dict[str, set[str]]:
    near: dict[str, set[str]] = {}
    for group in SYNONYMS:
        stems = {stem(word) for word in group}
        for name in stems:
            near.setdefault(name, set()).update(stems - {name})
    return near


_NEAR: Final = _near()
