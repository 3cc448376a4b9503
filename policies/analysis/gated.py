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
        pieces: one of these texts, where there are any.
    """

    label: str
    pattern: re.Pattern[str]
    groups: tuple[frozenset[str], ...]
    pieces: tuple[str, ...]

    def may_be_in(self, text: str, words: frozenset[str]) -> bool:
        """Return whether a text in lower case has one of each group and of the pieces."""
        for group in self.groups:  # loops: with `any` it takes twice the time
            if group.isdisjoint(words):
                return False
        for piece in self.pieces:
            if piece in text:
                return True
        return not self.pieces


def gated(label: str, pattern: str, *groups: str, pieces: Iterable[str] = ()) -> Gated:
    """Return a pattern with its groups of words, each given with blanks between them, the rarest first."""
    return Gated(label, re.compile(pattern), tuple(frozenset(group.split()) for group in groups), tuple(pieces))


class Rules:
    """Gated patterns in the order in which they are tried."""

    def __init__(self, rules: Sequence[Gated]) -> None:
        self.rules = tuple(rules)
        self.vocabulary = frozenset(word for rule in rules for group in rule.groups for word in group)
        self._always = frozenset(at for at, rule in enumerate(rules) if not rule.groups)
        starts: defaultdict[str, set[int]] = defaultdict(set)
        for at, rule in enumerate(rules):
            for word in rule.groups[0] if rule.groups else ():
                starts[word].add(at)
        self._starts = {word: frozenset(at) for word, at in starts.items()}

    def first(self, text: str, words: frozenset[str]) -> str | None:
        """Return the label of the first that matches a text in lower case, None if none does.

        No rule is left out that would match: the words only save looking for patterns.

        Args:
            words: those of the text that are in the vocabulary, perhaps with others.
        """
        possible = set(self._always)
        for word in self._starts.keys() & words:
            possible |= self._starts[word]
        for at in sorted(possible):
            rule = self.rules[at]
            if rule.may_be_in(text, words) and rule.pattern.search(text):
                return rule.label
        return None
