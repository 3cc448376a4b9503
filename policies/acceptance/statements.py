"""A reading of earlier turns, sentence by sentence, as the comparison of two readings needs it.

Reading a sentence well is what costs (`words.read`), and most of two conversations that are alike is equal: a reading is
only cut up here (`context_of`); the sentences that differ are read afterwards (`statement`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from .lexicon import DATES, NUMBER_WORDS
from .relations import ANY_QUESTION_WORDS, AUXILIARIES
from .words import Reading as Words
from .words import read, stem, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_TOKEN: Final = re.compile(r"[0-9]+(?:[.,:/][0-9]+)*|[^\W\d_]+(?:'[^\W\d_]+)*")
_FOREIGN: Final = re.compile("[^\\W\\d_\\x00-\u024f]+")
_USER: Final = "user"
_ASKING: Final = ANY_QUESTION_WORDS | AUXILIARIES
_SUBJECTS: Final = frozenset("i we it he she they".split())
_CONTRACTED: Final = frozenset("i'm i've i'd i'll im ive we're we've it's he's she's they're they've".split())
_POSSESSIVES: Final = frozenset("my our its his her their".split())
_MUSING: Final = frozenset("think guess hope know see mean wonder suppose bet".split())
_PREPOSITIONS: Final = frozenset("of for between in on at from to with about behind by like than".split())
_SPELLED: Final = frozenset({"1", "0.5", "0.25"})
_WEAK: Final = frozenset(
    map(
        stem,
        "yet still already now also too really rather maybe perhaps think guess hope btw anyway yes yep yeah no "
        "first before after allow want like would".split(),
    )
)
"""Content words of a question, but not of a conversation."""
_DETAILS: Final = frozenset(
    map(stem, "basic simple usual typical general actual current exact value quick real".split())
)
"""Fillers of a question that can be what a conversation is about: the basic plan."""
_ACCEPTS: Final = frozenset("yes yeah yep yup sure ok okay definitely absolutely correct".split())
_DECLINES: Final = frozenset("no nope nah not".split())


class Said(NamedTuple):
    """A sentence as it was said.

    Attributes:
        after: the question that the other side had asked last, "" where it had asked none.
        turn: which line of the reading it is in.
    """

    text: str
    after: str
    turn: int


@dataclass(frozen=True, slots=True)
class Context:
    """A reading, cut up.

    Attributes:
        offer: what the question replies to.
        user: sentences of the user, in order.
        assistant: sentences of the assistant, in order, without the offer.
        lines: role and text of each turn.
        foreign: words outside the Latin script.
    """

    offer: tuple[Said, ...]
    user: tuple[Said, ...]
    assistant: tuple[Said, ...]
    lines: tuple[tuple[str, str], ...]
    foreign: frozenset[str]

    @property
    def sentences(self) -> int:
        """How many there are."""
        return len(self.offer) + len(self.user) + len(self.assistant)

    @property
    def told(self) -> frozenset[str]:
        """All words of the user with their stems, and numbers as values."""
        return _forms("\n".join(text for role, text in self.lines if role == _USER))

    @property
    def answered(self) -> frozenset[str]:
        """Those of the assistant."""
        return _forms("\n".join(text for role, text in self.lines if role != _USER))

    @property
    def forms(self) -> frozenset[str]:
        """Those of both."""
        return self.told | self.answered


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence, read.

    Attributes:
        stems: of its content words.
        facts: its numbers, dates and names; a spelled-out "one", "half" or "quarter" is none.
        asks: it is a question.
        tells: it says something about the one who speaks or about what is talked of.
        sign: 1 where it begins with a yes, -1 with a no, else 0.
        after: content words of the question that it follows.
        turn: which line of the reading it is in.
    """

    words: Words
    stems: frozenset[str]
    facts: frozenset[str]
    asks: bool
    tells: bool
    sign: int
    after: frozenset[str]
    turn: int


# one request's reading is compared with several kept ones
@lru_cache(maxsize=64)
def context_of(reading: str) -> Context:
    """Cut up a reading: one line a turn, "role: sentences" (policies/context/reading.py)."""
    parts: dict[str, list[Said]] = {"offer": [], "user": [], "assistant": []}
    lines = tuple((role, text) for role, _, text in (line.partition(": ") for line in reading.split("\n")))
    after = ""
    for turn, (role, text) in enumerate(lines):
        if role in parts:
            said = [Said(sentence, after, turn) for sentence in _SENTENCE_END.split(text) if sentence]
            parts[role] += said
            after = said[-1].text if role == "assistant" and said and said[-1].text.endswith("?") else ""
    return Context(
        offer=tuple(parts["offer"]),
        user=tuple(parts["user"]),
        assistant=tuple(parts["assistant"]),
        lines=lines,
        foreign=frozenset() if reading.isascii() else frozenset(_FOREIGN.findall(reading.lower())),
    )


@lru_cache(maxsize=1024)
def statement(said: Said) -> Statement:
    """Read a sentence."""
    words = read(said.text)
    numbers = {number.value for number in words.numbers if not (number.spelled and number.value in _SPELLED)}
    texts = [word.text for word in words.words]
    first = texts[0] if texts else ""
    return Statement(
        words=words,
        stems=_stems(words),
        facts=frozenset(numbers.union(words.dates, words.names)),
        asks=said.text.endswith("?") or first in _ASKING,
        tells=_tells(texts),
        sign=(first in _ACCEPTS) - (first in _DECLINES),
        after=_stems(read(said.after)) if said.after else frozenset(),
        turn=said.turn,
    )


def stems_of(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the content words of all."""
    return frozenset[str]().union(*(one.stems for one in statements))


def facts_of(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the numbers, dates and names of all."""
    return frozenset[str]().union(*(one.facts for one in statements))


def lacking(one: Statement, other: Context) -> set[str]:
    """Return the facts of a statement that are nowhere in a reading."""
    there = other.forms if one.facts else frozenset[str]()
    return {fact for fact in one.facts if fact not in there and not there.issuperset(_forms(fact))}


def around(one: Statement, of: Context) -> frozenset[str]:
    """Return the forms of the words of a user's turn and of what the assistant said before and after it."""
    beside = (of.lines[at] for at in (one.turn - 1, one.turn + 1) if 0 <= at < len(of.lines))
    return _forms("\n".join((of.lines[one.turn][1], *(text for role, text in beside if role != _USER))))


def alike(a: Statement, b: Statement) -> float:
    """Return Dice's coefficient of the content words, 0 where one has none."""
    return 2 * len(a.stems & b.stems) / (len(a.stems) + len(b.stems)) if a.stems and b.stems else 0.0


@lru_cache(maxsize=128)
def _forms(text: str) -> frozenset[str]:
    """Return the words of a text with their stems and the values of its numbers."""
    forms: set[str] = set()
    for token in _TOKEN.findall(text.lower()):
        if token[0].isdecimal():
            forms.add(value_of(token))
        else:
            word = token.removesuffix("'s")
            forms.update((word, stem(word)))
    for spelled in forms & NUMBER_WORDS.keys():
        forms.add(NUMBER_WORDS[spelled])
    return frozenset(forms | {DATES[form] for form in forms & DATES.keys()})


def _stems(words: Words) -> frozenset[str]:
    return frozenset(word.stem for word in words.words if word.content or word.stem in _DETAILS) - _WEAK


def _tells(words: list[str]) -> bool:
    """Return whether a sentence has a subject that is a pronoun or has a possessive: I'm, it was, my car."""
    if not _CONTRACTED.isdisjoint(words):
        return True
    if any(word in _SUBJECTS and after not in _MUSING for word, after in zip(words, [*words[1:], ""], strict=True)):
        return True
    # "for my niece" says of whom a question was
    return any(
        word in _POSSESSIVES and before not in _PREPOSITIONS for before, word in zip(["", *words], words, strict=False)
    )
