"""Patterns that are looked for only in texts that have their words."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LETTERS: Final = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")  # noqa: PLR2004  (ASCII)
    for code in range(256)
)


def words_of(text: str) -> list[str]:
    """Return the words of a text: its runs of ASCII letters and digits, in lower case.

    Translating bytes takes a tenth of what a regular expression does.
    """
    return text.encode("ascii", "replace").translate(_LETTERS).decode("ascii").split()


class Gated(NamedTuple):
    """A pattern, and what any text has that it matches.

    Attributes:
        label: what a text is that it matches.
        pattern: of text in lower case.
        groups: of each of these at least one word.
        pieces: what it matches begins with one of these texts, where there are any.
        first: the same with words; without either it matches at the beginning of a text alone.
    """

    label: str
    pattern: re.Pattern[str]
    groups: tuple[frozenset[str], ...]
    pieces: tuple[str, ...]
    first: frozenset[str]

    def is_in(self, text: str, words: frozenset[str]) -> bool:
        """Return whether it matches in a text in lower case that has these words of its groups.

        Finding where its words stand takes a tenth of a search that tries the pattern everywhere.
        """
        match = self.pattern.match
        if not self.first and not self.pieces:
            return match(text) is not None
        for piece in self.pieces or self.first & words:
            at = text.find(piece)
            while at >= 0:
                if match(text, at):
                    return True
                at = text.find(piece, at + 1)
        return False


def gated(label: str, pattern: str, *groups: str, pieces: Iterable[str] = (), first: str = "") -> Gated:
    """Return a pattern with its groups of words, each given with blanks between them, the rarest first.

    Args:
        pieces, first: what its matches begin with, see `Gated`.
    """
    return Gated(
        label,
        re.compile(pattern),
        tuple(frozenset(group.split()) for group in groups),
        tuple(pieces),
        frozenset(first.split()),
    )


class Rules:
    """Gated patterns in the order in which they are tried."""

    def __init__(self, rules: Sequence[Gated]) -> None:
        self.rules = tuple(rules)
        self.vocabulary = frozenset(word for rule in rules for group in (*rule.groups, rule.first) for word in group)
        # a bit for each rule and place of a group, the place 0 lowest: set where a word is in that group
        size = len(self.rules)
        self._places = max((len(rule.groups) for rule in self.rules), default=0)
        self._all = (1 << size) - 1
        bits: defaultdict[str, int] = defaultdict(int)
        self._given = 0  # groups that a rule does not have need no word
        for at, rule in enumerate(self.rules):
            for place in range(self._places):
                bit = 1 << (place * size + at)
                if place >= len(rule.groups):
                    self._given |= bit
                    continue
                for word in rule.groups[place]:
                    bits[word] |= bit
        self._bits = dict(bits)

    def first(self, words: frozenset[str], *texts: str) -> str | None:
        """Return the label of the first rule that matches one of some texts in lower case, None if none does.

        No rule is left out that would match: the words only save looking for patterns.

        Args:
            words: those of the texts that are in the vocabulary, perhaps with others.
        """
        found = self._given
        bits = self._bits
        for word in words:
            if word in bits:
                found |= bits[word]
        possible = self._all
        for _ in range(self._places):
            possible &= found
            found >>= len(self.rules)
        while possible:
            lowest = possible & -possible
            rule = self.rules[lowest.bit_length() - 1]
            for text in texts:
                if rule.is_in(text, words):
                    return rule.label
            possible ^= lowest
        return None
