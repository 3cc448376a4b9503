"""Reading a question: its words, stems, numbers, dates, negations and names, as the evidence needs them.

Everything is linear in the length of the text, and no text makes it raise.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from .lexicon import (
    BEFORE_WAY,
    CURRENCIES,
    DATES,
    DATES_ALSO_WORDS,
    FILLERS,
    FUNCTION_WORDS,
    KINDS,
    NEGATORS,
    NUMBER_WORDS,
    OPERATORS,
    PHRASES,
    ROMAN,
    UNITS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = re.compile(
    r"(?P<number>[0-9]+(?:[.,:/][0-9]+)*)"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)*(?:\+\+|\#)?)"
    r"|(?P<symbol>[^\w\s]|\d)"
)
_QUOTED: Final = re.compile(r"`([^`]{1,80})`|\"([^\"]{1,80})\"|(?<!\w)'([^']{1,80})'(?!\w)")
# anchored at word boundaries: otherwise a very long word would be tried from each of its letters
_IDENTIFIER: Final = re.compile(r"\b[^\W\d]\w*(?:(?:::|->|[./])\w+)+|\b\w+_\w+")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DOTTED: Final = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_QUOTES: Final = str.maketrans("\u2018\u2019\u201b\u02bc\u201c\u201d", "''''\"\"")
_CONTRACTED: Final = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
_SENTENCE_ENDS: Final = frozenset(".!?:")
_MATHS: Final = frozenset("+*/^=<>\u00d7\u00f7\u2212-\u2264\u2265\u2260")
_LATIN_END: Final = 0x24F
_A_TITLE: Final = 3
_ACRONYM: Final = 7


class Number(NamedTuple):
    """A number: its value in one spelling, the unit beside it ("" for none), whether it was written as a word."""

    value: str
    unit: str
    spelled: bool


@dataclass(frozen=True, slots=True)
class Word:
    """One token.

    Attributes:
        text: lower case, without a possessive 's.
        stem: what it is compared by.
        content: whether it carries meaning of its own (no function word, filler, number or date).
        cased: whether its spelling marks a name: a capital inside a sentence, an acronym, mixed case.
    """

    text: str
    stem: str
    content: bool = False
    cased: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What the evidence looks at.

    Attributes:
        text: the whole text in lower case.
        words: all tokens but punctuation, in order; each negation is the word "not".
        numbers: with their units, in order.
        dates: months, weekdays and relative days, in order.
        operators: arithmetic signs, spelled-out ones included.
        names: in lower case: capitalised words, acronyms, quoted strings, identifiers.
        foreign: words in another script than Latin.
        texts: the words' texts.
        stems: the words' stems.
        content: the words that carry meaning, by stem.
        acronyms: those of them, as texts, that may be initials of others: capitals, two to six letters.
        pairs: the stems of words that stand side by side.
    """

    text: str
    words: tuple[Word, ...]
    numbers: tuple[Number, ...]
    dates: tuple[str, ...]
    operators: tuple[str, ...]
    names: frozenset[str]
    foreign: tuple[str, ...]
    texts: frozenset[str]
    stems: frozenset[str]
    content: Mapping[str, Word]
    acronyms: frozenset[str]
    pairs: frozenset[tuple[str, str]]


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Strip English inflection (plural, -ing, -ed, -ly) and write -ise and -our the American way.

    Weaker than Porter's on purpose (no suffix that makes another word, such as -er, -ity or -less): two
    words wrongly taken for one hide a conflict.
    """
    for step in _STEPS:
        for ending, written, shortest in step:
            if len(word) >= shortest and word.endswith(ending):
                word = word[: len(word) - len(ending)] + written
                break
    return word


# steps one after another, of each the first rule that fits: ending, what it becomes, shortest word
_STEPS: Final[tuple[tuple[tuple[str, str, int], ...], ...]] = (
    (
        ("ies", "y", 5),
        *((f"{sound}es", sound, 5) for sound in ("ss", "sh", "ch", "x", "z")),
        *((kept, kept, 0) for kept in ("ss", "us", "is", "news")),
        ("s", "", 4),
    ),
    (("ing", "", 7), ("ied", "y", 6), ("eed", "eed", 0), ("ed", "", 6), ("ically", "ic", 8), ("ly", "", 8)),
    tuple((letter * 2, letter, 4) for letter in "bdgklmnprt"),
    (("e", "", 4),),
    (("is", "iz", 5), ("ys", "yz", 5), ("our", "or", 5), ("i", "y", 4)),
)
_FILLERS: Final = frozenset(map(stem, FILLERS))


# one question is compared with several kept ones, and a kept one with many questions
@lru_cache(maxsize=2048)
def read(text: str) -> Reading:
    """Read a question."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    return _Reader(_DOTTED.sub(lambda match: match.group().replace(".", ""), text)).read()


def value_of(number: str) -> str:
    """Return one spelling for a number: 1,000 is 1000, 2,5 is 2.5, 05 is 5; 3.10.2 and 7:30 stay what they are."""
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif number.count(",") == 1 and "." not in number:
        number = number.replace(",", ".")
    number = number.lstrip("0")
    return number if number[:1].isdigit() else "0" + number


class _Reader:
    """One pass over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        self._words: list[Word] = []
        self._numbers: list[Number] = []
        self._dates: list[str] = []
        self._operators: list[str] = []
        self._foreign: list[str] = []
        self._case_tells = _case_tells([token["word"] for token in self._tokens if token["word"]])

    def read(self) -> Reading:
        for index, token in enumerate(self._tokens):
            if token["number"]:
                self._number(value_of(token["number"]), index)
            elif token["word"]:
                self._word(token["word"], index)
            else:
                self._symbol(token["symbol"], index)
        stems = [word.stem for word in self._words]
        return Reading(
            text=self._text.lower(),
            words=tuple(self._words),
            numbers=tuple(self._numbers),
            dates=tuple(self._dates),
            operators=tuple(self._operators),
            names=self._names(),
            foreign=tuple(self._foreign),
            texts=frozenset(word.text for word in self._words),
            stems=frozenset(stems),
            content={word.stem: word for word in self._words if word.content},
            acronyms=frozenset(
                word.text for word in self._words if word.cased and word.content and 1 < len(word.text) < _ACRONYM
            ),
            pairs=frozenset(pairwise(stems)),
        )

    def _number(self, value: str, index: int, *, spelled: bool = False) -> None:
        before = UNITS.get(self._beside(index, -1), "")
        unit = UNITS.get(self._beside(index, 1)) or (before if before in CURRENCIES else "")
        self._numbers.append(Number(value, unit, spelled))
        self._words.append(Word(value, value))

    def _word(self, spelled: str, index: int) -> None:
        word = spelled.lower()
        if word.endswith("n't"):
            self._words.append(Word("not", "not"))
            word = _CONTRACTED.get(word[:-3], word[:-3])
        word = word.removesuffix("'s")
        after_number = self._beside(index, -1)[:1].isdigit()
        if word in NUMBER_WORDS and not (word == "second" and after_number):
            self._number(NUMBER_WORDS[word], index, spelled=True)
        elif spelled in ROMAN:
            self._number(ROMAN[spelled], index)
        elif word in DATES and (word not in DATES_ALSO_WORDS or self._is_month(spelled, index)):
            self._dates.append(DATES[word])
            self._words.append(Word(DATES[word], DATES[word]))
        elif word in NEGATORS:
            self._words.append(Word("not", "not"))
        else:
            self._plain(word, spelled, index, unit=word in UNITS and (after_number or self._ends_in_number()))

    def _plain(self, word: str, spelled: str, index: int, *, unit: bool) -> None:
        if word in OPERATORS:
            self._operators.append(OPERATORS[word])
        if not word.isascii() and any(ord(char) > _LATIN_END and char.isalpha() for char in word):
            self._foreign.append(word)
        phrase = PHRASES.get((self._words[-1].text, word)) if self._words else None
        if phrase:
            self._words[-1] = Word(phrase, stem(phrase), phrase not in FUNCTION_WORDS)
            return
        stemmed = "a" if word == "an" else stem(word)
        filler = (
            stemmed in _FILLERS
            or (word in BEFORE_WAY and self._beside(index, 1) in ("way", "ways"))
            or (word in KINDS and self._beside(index, -1) in ("which", "what"))
        )
        acronym = self._case_tells and len(spelled) > 1 and spelled.isupper()  # US is no pronoun
        content = not ((word in FUNCTION_WORDS and not acronym) or word in OPERATORS or filler or unit or "'" in word)
        cased = content and self._case_tells and _is_cased(spelled, first=self._starts_sentence(index))
        self._words.append(Word(word, stemmed, content, cased))

    def _symbol(self, symbol: str, index: int) -> None:
        sides = self._beside(index, -1)[:1].isdigit(), self._beside(index, 1)[:1].isdigit()
        if symbol in _MATHS:
            # a hyphen joins words and numbers, too: 7-day
            if all(sides) if symbol == "-" else any(sides):
                self._operators.append(OPERATORS.get(symbol, symbol))
        elif symbol.isdigit() or unicodedata.category(symbol) == "So":
            self._words.append(Word(symbol, symbol, content=True))

    def _beside(self, index: int, step: int) -> str:
        """Return the token beside another in lower case, "" where there is none or more than a blank between them."""
        at = index + step
        if 0 < at < len(self._tokens) - 1 and self._tokens[at].group() == "-" and self._tokens[index].group() != "-":
            at += step
        if not 0 <= at < len(self._tokens):
            return ""
        first, second = min(index, at), max(index, at)
        between = self._text[self._tokens[first].end() : self._tokens[second].start()]
        return self._tokens[at].group().lower() if between in ("", " ", "-") else ""

    def _ends_in_number(self) -> bool:
        return bool(self._numbers) and self._words[-1].text == self._numbers[-1].value

    def _is_month(self, spelled: str, index: int) -> bool:
        if self._beside(index, 1)[:1].isdigit() or self._beside(index, -1)[:1].isdigit():
            return True
        return spelled[0].isupper() and self._case_tells and not self._starts_sentence(index)

    def _starts_sentence(self, index: int) -> bool:
        if index == 0 or self._tokens[index - 1].group() in _SENTENCE_ENDS:
            return True
        return "\n" in self._text[self._tokens[index - 1].end() : self._tokens[index].start()]

    def _names(self) -> frozenset[str]:
        names = {word.text for word in self._words if word.cased}
        for match in _QUOTED.finditer(self._text):
            names.add(match.group()[1:-1].lower().strip())
        names.update(match.group().lower() for match in _IDENTIFIER.finditer(self._text))
        return frozenset(names - {""})


def _case_tells(words: list[str]) -> bool:
    """Return whether capitals mark names: not in SHOUTED text, nor in Title Case Text."""
    if sum(word.isupper() for word in words) > max(len(words) / 2, _A_TITLE - 1):
        return False
    weighty = [word for word in words[1:] if word.lower() not in FUNCTION_WORDS]  # titles leave the rest in lower case
    return len(weighty) < _A_TITLE or sum(word[0].isupper() for word in weighty) <= 0.8 * len(weighty)


def _is_cased(word: str, *, first: bool) -> bool:
    return any(char.isupper() for char in word[1:]) or (word[0].isupper() and not first)
