"""Whether a question stands alone, or leans on what was said before it.

A question stands alone only where everything speaks for it: it is a whole question or order, nothing in it points back,
it doesn't ask about the one who speaks, it says what it is about in words of its own, and it doesn't go on with what was
just talked about. In doubt it leans. The rules are for English; in another language every question leans.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..acceptance.words import Reading, read, stem
from .cues import (
    ABLE,
    ADVICE,
    CHOICES,
    COMPARATIVES,
    DONE,
    GENERAL_I,
    GENERIC,
    HOW_I,
    INSTRUCTIONS,
    JOINS,
    OF,
    ONESELF,
    OPENERS,
    ORDERS,
    PHRASES,
    POINTERS,
    QUESTIONS,
    UNIQUE,
    WH,
)
from .sentences import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 400
"""Characters; a longer question leans: it holds more than a question."""

ALONE: Final = 4
"""Content words that a question without a name must have."""

OWN: Final = 3
"""Of them, words that don't fit any subject."""

ABOUT_A_NAME: Final = 2
"""Content words that a question about a name must have beside it, one of them not fit for any subject."""

LONG_NAME: Final = 3
"""Words of a name that say enough by themselves."""

_PHRASES: Final = re.compile(r"\b(?:" + "|".join(PHRASES) + r")\b")
_NOUN_PHRASE: Final = 5
_ADVICE: Final = re.compile(r"\b(?:" + "|".join(ADVICE) + r")\b")
_ONESELF: Final = re.compile(r"\b(?:" + "|".join(ONESELF) + r")\b")
_INSTRUCTIONS: Final = re.compile("|".join(rf"\b(?:{phrase})" for phrase in INSTRUCTIONS))
_GENERIC: Final = frozenset(map(stem, GENERIC))


def why_it_leans(sentences: Sequence[str], near: Sequence[str]) -> str | None:
    """Return a label of why a question leans on earlier turns, None where it stands alone.

    Args:
        sentences: the question's, courtesies left out.
        near: the turns that it might go on with.

    Labels: nothing_said, several_sentences, long_question, fragment, points_back, about_the_speaker, definite, not_specific,
    same_subject.
    """
    if not sentences:
        return "nothing_said"
    if len(sentences) > 1:
        return "several_sentences"
    question = sentences[0]
    if len(question) > LONGEST:
        return "long_question"
    words = words_of(question)
    if not words or words[0] not in QUESTIONS | ORDERS:
        return "fragment"
    words = words_of(_PHRASES.sub(" ", " ".join(words)))
    if _points_back(words) or ("than" not in words and not COMPARATIVES.isdisjoint(words)):
        return "points_back"
    if _about_the_speaker(words):
        return "about_the_speaker"
    reading = read(question)
    if reading.foreign:
        return "fragment"
    if _definite(reading):
        return "definite"
    return _unspecific(reading, near)


def is_instructed(text: str) -> bool:
    """Return whether a user's turn says how to answer from then on: in French, as a pirate, in two sentences."""
    return _INSTRUCTIONS.search(text.lower()) is not None


def seeks_advice(question: str) -> bool:
    """Return whether the right answer may depend on who asks: which is best, what should one eat, suggest a trip."""
    return _ADVICE.search(question.lower()) is not None


def tells_of_oneself(text: str) -> bool:
    """Return whether a user's turn states something about the one who speaks: I'm vegan, my budget is small."""
    return any(
        not sentence.rstrip().endswith("?") and _ONESELF.search(sentence.lower())
        for sentence in re.findall(r"[^.!?]+[.!?]*", text)
    )


def is_reply(sentences: Sequence[str]) -> bool:
    """Return whether a turn accepts, declines, chooses from or orders what was just offered, rather than asks."""
    words = words_of(" ".join(sentences))
    while words and words[0] in OPENERS:
        words.pop(0)
    if not words:
        return True
    if words[0] not in QUESTIONS:
        return not sentences[-1].endswith("?") or QUESTIONS.isdisjoint(words)
    follows = words[1:2]
    if words[0] == "do" and follows and follows[0] in DONE:
        return True
    return not WH.issuperset(words[:1]) and (not CHOICES.isdisjoint(words) or (words[0] in ABLE and follows == ["you"]))


def _points_back(words: list[str]) -> bool:
    """Return whether a word stands for something said; "that" before a verb continues its noun: a card that works."""
    for at, word in enumerate(words):
        follows = words[at + 1] if at + 1 < len(words) else ""
        if (
            word == "that"
            and at > 1
            and (follows in QUESTIONS or (follows.endswith("s") and not follows.endswith("ss")))
        ):
            continue
        if word in POINTERS:
            return True
    return False


def _about_the_speaker(words: list[str]) -> bool:
    for at, word in enumerate(words):
        if word == "i":
            before = words[at - 1] if at else ""
            way = words[at - 2] if at > 1 else ""
            if before not in GENERAL_I and not (before in ("do", "would", "should", "can", "could") and way in HOW_I):
                return True
    return False


def _definite(reading: Reading) -> bool:
    """Return whether "the" stands before something that is not said to be which."""
    words = reading.words
    for at, word in enumerate(words):
        if word.text != "the":
            continue
        phrase = words[at + 1 : at + 1 + _NOUN_PHRASE]
        head = phrase[0] if phrase else None
        if head is None:
            return True
        if head.cased or head.text in UNIQUE or (head.text.endswith("est") and len(head.text) > 4):  # noqa: PLR2004 - test
            continue
        said_which = next((near for near, other in enumerate(phrase) if near and other.text in OF), None)
        if said_which is None or not any(
            other.content or other.text == "the" for other in words[at + 2 + said_which : at + 6 + said_which]
        ):
            return True
    return False


def _unspecific(reading: Reading, near: Sequence[str]) -> str | None:
    """Return a label where a question doesn't bring its own subject along.

    It does with a name that it is about, and something about it; with a long name; or with enough words of its own.
    """
    content = {word.stem for word in reading.words if word.content}
    anchors = _anchors(reading)
    own = {word for word in content - _GENERIC - anchors if len(word) > 1}
    if len(anchors) < LONG_NAME:
        short = (
            len(own) < 1 or len(content - anchors) < ABOUT_A_NAME if anchors else len(own) < OWN or len(content) < ALONE
        )
        if short:
            return "not_specific"
    said = {stem(word) for text in near for word in words_of(text)}
    return "same_subject" if len(own & said) > max(1, len(own - said) // 2) or (own and own <= said) else None


def _anchors(reading: Reading) -> set[str]:
    """Return the stems of names that a question is about.

    Not of one after a preposition ("a flight to Rome") or an article ("the Leeds branch"): the rest may lean.
    """
    words = reading.words
    anchors: set[str] = set()
    for at, word in enumerate(words):
        if not word.cased or len(word.text) < 2:  # noqa: PLR2004 - a letter is no name
            continue
        before = next((other.text for other in reversed(words[:at]) if not (other.cased or other.text in JOINS)), "")
        if before not in OF and before != "the":
            anchors.add(word.stem)
    return anchors
