"""What of a request says whether a small engine can answer it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from zlib import crc32

from ...middleware.keys import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Subject
    from ...middleware.records import JsonObject

Features: TypeAlias = dict[int, float]
"""Number of a feature → its value, only those that are not 0."""

LOOKED_AT: Final = 200
"""Characters at each end of the last user turn."""
BUCKETS: Final = 1_024
"""Words and pairs of words share so many weights."""

# A rule of thumb, in log odds that a small engine fails, for one unit of each; what is learned corrects it. Sixteen more
# were tried (length, turns, numbers, digits, mathematics, code, sorting, counting, copying, yes or no, …) and left out: on
# half of the questions of benchmarks/difficulty.py none made the ranking better; the words learn those.
PRIOR: Final[Mapping[str, float]] = {
    "bias": 0.0,
    "items": 0.15,  # of a list, by its commas, as a logarithm
    "constraints": 0.3,
    "reasoning": 0.8,
    "letters": 1.2,
    "translate": 0.4,
    "lookup": -0.6,
    "given_text": -0.4,
}
NAMES: Final = (*PRIOR, "words")
"""Labels of evidence; all words together are one."""
NAMED: Final = len(PRIOR)
SIZE: Final = NAMED + BUCKETS

_AT: Final = {name: at for at, name in enumerate(PRIOR)}
_CUES: Final[Mapping[str, int]] = {
    word: _AT[name]
    for name, words in {
        "constraints": "must exactly only without least most never always avoid include between",
        "reasoning": "why prove explain step steps if therefore compare analyse analyze reason after before remain left twice "
        "argue evaluate design plan derive",
        "letters": "letter letters spell backwards reverse anagram rhyme rhymes palindrome vowels",
        "translate": "translate translation spanish french german chinese japanese",
        "lookup": "who capital when where name which define meaning",
        "given_text": "text passage review article following read paragraph",
    }.items()
    for word in words.split()
}
_CUE_WORDS: Final = frozenset(_CUES)
_LETTERS: Final = bytes(code if chr(code) in ascii_lowercase else ord(" ") for code in range(256))
_TOKENS: Final = re.compile(r"[^\W\d_]+|\d+|```|[-+*/^=,;?]")
_ITEMS: Final = frozenset(",;")
_MOST: Final = 96
"""Words that are learned from."""
_LONGEST: Final = 6
"""Numbers of so many digits and longer are one word."""


def features(subject: Subject, *, words: bool = True) -> Features:
    """Return the features of a request; of any JSON there are some.

    Args:
        words: with those of words and of pairs of neighbouring words. They count together like one feature of length 1,
            whatever the question's length; a number stands for all of its size.
    """
    found: Features = {_AT["bias"]: 1.0}
    if subject.facts.task == "translate":
        found[_AT["translate"]] = 1.0
    question = _question(subject.request.messages)
    if len(question) > 2 * LOOKED_AT:
        question = f"{question[:LOOKED_AT]}\n{question[-LOOKED_AT:]}"
    question = question.lower()
    # a tenth of what a regular expression takes: no cue has other letters
    for cue in _CUE_WORDS.intersection(question.encode("ascii", "replace").translate(_LETTERS).decode("ascii").split()):
        found[_CUES[cue]] = 1.0
    items = question.count(",") + question.count(";")
    if items:
        found[_AT["items"]] = math.log1p(items)
    if words:
        at_words, share = _words_at(question)
        for at in at_words:
            found[at] = found.get(at, 0.0) + share
    return found


def _words_at(question: str) -> tuple[list[int], float]:
    """Return the numbers of words and pairs, some perhaps twice, and what each counts."""
    tokens = _TOKENS.findall(question)[:_MOST]
    words = [
        (f"#{min(len(token), _LONGEST)}" if token.isdigit() else token).encode("utf-8", "surrogatepass")
        for token in tokens
        if token not in _ITEMS
    ]
    # the checksum of a pair goes on from that of its first word and a blank
    before = map(crc32, [b" "] * len(words), map(crc32, [b"^", *words[:-1]]))
    hashed = [*map(crc32, words), *map(crc32, words, before)]
    return [NAMED + number % BUCKETS for number in hashed], 1.0 / math.sqrt(1 + len(tokens))


def _question(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return ""
    for message in reversed(cast("Sequence[Any]", value)):
        # first the one that nearly all are: a tenth of asking the other
        if isinstance(message, (dict, Mapping)) and cast("JsonObject", message).get("role") == "user":
            return text_of(cast("JsonObject", message).get("content"))[0]
    return ""
