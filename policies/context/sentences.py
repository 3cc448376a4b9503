"""Cutting a turn into sentences and leaving out those that are mere courtesy.

Linear in the length of the text; no text makes it raise.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from .cues import CLOSERS, COURTESIES, GLUE, GOODWILL, INTERJECTIONS

LONGEST_COURTESY: Final = 120
"""Characters; a longer sentence is not looked at."""

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_WHOLE: Final = re.compile("|".join(f"(?:{phrase})" for phrase in COURTESIES))
_VOCABULARY: Final = INTERJECTIONS | GOODWILL | GLUE | frozenset(re.findall(r"[a-z']+", " ".join(COURTESIES)))
_QUOTES: Final = str.maketrans("\u2018\u2019\u201b\u02bc", "''''")
_GREETING: Final = re.compile(
    r"^(?:(?:hi|hiya|hello|hey|heya|howdy|good (?:morning|afternoon|evening|day)|morning|thanks|thank you|cheers|great|cool|"
    r"lovely|nice|perfect|brilliant|oh|ah|ha|haha|lol|hmm|um|uh|sorry)(?: there| again)?(?:[,!.\u2013\u2014-]+\s*|\s+(?=i\b|i'|my\b)))+",
    re.IGNORECASE,
)
_TRAILING: Final = ".! \t"


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case."""
    return _WORD.findall((text if text.isascii() else text.translate(_QUOTES)).lower())


@lru_cache(maxsize=1024)
def sentences_of(text: str, *, asks: bool = False) -> tuple[str, ...]:
    """Return the sentences of one turn that say something, each on one line, without greeting, thanks and final stop.

    A turn of nothing but courtesy has none.

    Args:
        asks: the turn is the user's, whose questions are no courtesy, whatever their words.
    """
    text = unicodedata.normalize("NFC", text)
    kept: list[str] = []
    for raw in _SENTENCE_END.split(text):
        sentence = " ".join(raw.split())
        if is_courtesy(sentence, asks=asks):
            continue
        bare = _without_closers(_GREETING.sub("", sentence, count=1).rstrip(_TRAILING))
        if bare and (bare == sentence or not is_courtesy(bare, asks=asks)):
            kept.append(bare)
    return tuple(kept)


def is_courtesy(sentence: str, *, asks: bool = False) -> bool:
    """Return whether a sentence is a greeting, thanks, an apology, an offer of help or the like, and nothing else.

    One with a number, a name or any word that is not in the lists is none; so is one of signs that are no punctuation.
    """
    if len(sentence) > LONGEST_COURTESY:
        return False
    words = words_of(sentence)
    if not words:
        return not any(char.isalnum() or unicodedata.category(char)[0] == "S" for char in sentence)
    if not _VOCABULARY.issuperset(words):
        return False
    rest = _WHOLE.sub(" ", " ".join(words)).split() if len(words) > 1 else words
    others = [word for word in rest if word not in INTERJECTIONS and word not in GOODWILL]
    if not others:
        return True
    if asks and sentence.endswith("?"):
        return False
    return GLUE.issuperset(others) and not GOODWILL.isdisjoint(words)


def _without_closers(sentence: str) -> str:
    """Strip please, thanks and the like from the end."""
    head, _, last = sentence.rpartition(" ")
    while head and last.lower() in CLOSERS:
        sentence = head.rstrip(", ")
        head, _, last = sentence.rpartition(" ")
    return sentence
