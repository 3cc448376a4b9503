"""The language of a short text: by its script, and in Latin script by its small words and letters.

Small words make up a third of running text in any of these languages and are learned from no corpus, so they hold for
prompts as well as for prose; letters that few languages have decide between neighbours, and where a text is too short for
small words.
"""

# ruff: noqa: RUF001  (letters of other languages)

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from functools import cache
from itertools import repeat
from math import inf, lcm
from string import ascii_lowercase
from struct import Struct
from typing import TYPE_CHECKING, Final

from .words import LANGUAGES_OF

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN: Final = "und"

_ENDINGS: Final = {
    "fi": "ssa ssä lla llä sta stä ksi iin een ään aan lle itä uus yys",
    "hu": "ban ben nak nek val vel ság ség hez hoz ból ből",
    "tr": "lar ler ların lerin mak mek dır dir nın nin",
    "de": "ung keit lich isch",
    "en": "ing ould ght ness ally",
    "es": "ción ciones",
    "pt": "ção ções",
    "it": "zione zioni ità",
    "ca": "ció cions",
    "da": "hed erne",
    "nl": "heid ijk",
    "ro": "ție ului ilor",
}
_ENDING: Final = {ending: name for name, endings in _ENDINGS.items() for ending in endings.split()}

_NAMES: Final = tuple(dict.fromkeys(name for languages in LANGUAGES_OF.values() for name in languages))
_VOTE: Final = lcm(*map(len, LANGUAGES_OF.values()))
"""What a word counts, to be divided among its languages."""
_SUM: Final = Struct(f"<{len(_NAMES) + 2}I")


@cache  # equal ones are the same: the fewer there are, the more of them stay in the CPU's cache
def _votes(letters: int, languages: Sequence[str]) -> int:
    """Return a word's votes, that it has some, and its letters, in 32 bits each: adding up such numbers adds up all of them."""
    shares = [_VOTE // len(languages) if name in languages else 0 for name in _NAMES]
    return int.from_bytes(_SUM.pack(*shares, 1, letters), "little")


_VOTES: Final = {word: _votes(len(word), languages) for word, languages in LANGUAGES_OF.items()}
_WORDS: Final = re.compile(r"[^\W\d_]+")
_ASCII_LETTERS: Final = bytes(code if chr(code) in ascii_lowercase else ord(" ") for code in range(256))
_FOREIGN: Final = re.compile("[\u0370-\U0003ffff]")
_SPECIAL: Final = re.compile("[\u00a1-\u036f\u1e00-\u1eff]")
_FIRST: Final = 120
_ENOUGH: Final = 600
_CLEAR: Final = 3.0
_MIN_SCORE: Final = 0.9
_MIN_VOTES: Final = _MIN_SCORE * _VOTE
_MIN_SHARE: Final = 0.12
"""Of the words; less, and the words are those of a language that is not known here."""
_LETTER_WEIGHT: Final = 0.5
_MOST: Final = 4
"""A letter counts no more often: a name that is repeated must not outweigh the words."""
_LATIN_WEIGHT: Final = 3
"""A small word of Latin script is as much evidence as three times its letters in another: names and terms stay Latin."""

# first character of a script → its language, or the script where several share it; "" for what is no letter
_SCRIPTS: Final[tuple[tuple[int, str], ...]] = (
    (0x0370, "el"),
    (0x0400, "cyrillic"),
    (0x0530, "hy"),
    (0x0590, "he"),
    (0x0600, "arabic"),
    (0x0700, ""),
    (0x0750, "arabic"),
    (0x0780, ""),
    (0x08A0, "arabic"),
    (0x0900, "devanagari"),
    (0x0980, "bn"),
    (0x0A00, "pa"),
    (0x0A80, "gu"),
    (0x0B00, "or"),
    (0x0B80, "ta"),
    (0x0C00, "te"),
    (0x0C80, "kn"),
    (0x0D00, "ml"),
    (0x0D80, "si"),
    (0x0E00, "th"),
    (0x0E80, "lo"),
    (0x0F00, "bo"),
    (0x1000, "my"),
    (0x10A0, "ka"),
    (0x1100, "ko"),
    (0x1200, "am"),
    (0x1380, ""),
    (0x1780, "km"),
    (0x1800, ""),
    (0x1F00, "el"),
    (0x2000, ""),
    (0x3040, "ja"),
    (0x3100, ""),
    (0x3130, "ko"),
    (0x3190, ""),
    (0x3400, "zh"),
    (0x4DC0, ""),
    (0x4E00, "zh"),
    (0xA000, ""),
    (0xAC00, "ko"),
    (0xD7B0, ""),
    (0xF900, "zh"),
    (0xFB00, ""),
    (0xFB50, "arabic"),
    (0xFE00, ""),
    (0xFE70, "arabic"),
    (0xFF00, ""),
    (0xFF66, "ja"),
    (0xFFA0, ""),
    (0x20000, "zh"),
)
_STARTS: Final = [start for start, _ in _SCRIPTS]

_LETTERS: Final = {
    "ß": ("de",),
    "ä": ("de", "sv", "fi", "sk"),
    "ö": ("de", "sv", "fi", "hu", "tr"),
    "ü": ("de", "hu", "tr"),
    "å": ("sv", "da", "no"),
    "æ": ("da", "no"),
    "ø": ("da", "no"),
    "œ": ("fr",),
    "ç": ("fr", "pt", "tr", "ca"),
    "è": ("fr", "it", "ca"),
    "ê": ("fr", "pt", "vi"),
    "ë": ("nl", "fr"),
    "î": ("ro", "fr"),
    "ï": ("ca", "fr", "nl"),
    "ô": ("fr", "sk", "pt", "vi"),
    "û": ("fr",),
    "ù": ("fr", "it", "vi"),
    "ò": ("it", "ca", "vi"),
    "ì": ("it", "vi"),
    "ñ": ("es",),
    "¿": ("es",),
    "¡": ("es",),
    "ã": ("pt", "vi"),
    "õ": ("pt", "vi"),
    "·": ("ca",),
    "ł": ("pl",),
    "ą": ("pl",),
    "ę": ("pl",),
    "ś": ("pl",),
    "ź": ("pl",),
    "ż": ("pl",),
    "ń": ("pl",),
    "ć": ("hr", "pl"),
    "đ": ("hr", "vi"),
    "č": ("cs", "sk", "hr"),
    "š": ("cs", "sk", "hr"),
    "ž": ("cs", "sk", "hr"),
    "ř": ("cs",),
    "ě": ("cs",),
    "ů": ("cs",),
    "ľ": ("sk",),
    "ĺ": ("sk",),
    "ŕ": ("sk",),
    "ď": ("sk", "cs"),
    "ť": ("sk", "cs"),
    "ň": ("sk", "cs"),
    "ă": ("ro", "vi"),
    "ș": ("ro",),
    "ț": ("ro",),
    "ţ": ("ro",),
    "ş": ("tr", "ro"),
    "ő": ("hu",),
    "ű": ("hu",),
    "ğ": ("tr",),
    "ı": ("tr",),
    "ơ": ("vi",),
    "ư": ("vi",),
}

# letters and words that tell languages of one script apart, the surest first
_CYRILLIC: Final = (
    ("be", frozenset("ўЎ")),
    ("kk", frozenset("әғқңұһӘҒҚҢҰҺ")),
    ("uk", frozenset("іїєґІЇЄҐ")),
    ("mk", frozenset("ѓќѕЃЌЅ")),
    ("sr", frozenset("ђћјљњџЂЋЈЉЊЏ")),
    ("ru", frozenset("ыэёЫЭЁ")),
)
_BULGARIAN: Final = re.compile("ъ[^яеёю]")
"""In Russian the sign stands before these letters alone."""
_ARABIC: Final = (("ur", frozenset("ٹڈڑںےہھ")), ("fa", frozenset("پچژگیک")))
_TELLING: Final = {
    "cyrillic": {
        "ru": "и что как это для по или к из у мне с так вы он если чтобы",
        "bg": "е са се от ще че кой това със за да ли като един една какво ако",
    },
    "devanagari": {
        "hi": "है हैं का की के में और क्या से को पर यह",
        "mr": "आहे आहेत आणि काय मध्ये या हे आपण",
        "ne": "छ छन् र हो को मा गर्नुहोस् के यो लागि",
    },
}
_TELLING_OF: Final = {
    script: {name: frozenset(words.split()) for name, words in each.items()} for script, each in _TELLING.items()
}
_KANA_SHARE: Final = 0.1


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of the language most of a text is in, ``und`` where it cannot be told.

    Args:
        text: prose. The first 120 characters are read, 600 where these leave a doubt.
    """
    name, lead = _read(text[:_FIRST])
    return name if lead >= _CLEAR or len(text) <= _FIRST else _read(text[:_ENOUGH])[0]


def _read(text: str) -> tuple[str, float]:
    """Return the language of a text and by how much it leads; infinitely where the script decides."""
    lower = text.lower()
    if text.isascii():
        # a third of what a regular expression takes
        words = lower.encode("ascii").translate(_ASCII_LETTERS).decode("ascii").split()
        *votes, hits, _ = _latin(words)
        second, first = sorted(votes)[-2:]
        if first > second and first >= _MIN_VOTES and max(hits, first / _VOTE) >= _MIN_SHARE * len(words):
            return _NAMES[votes.index(first)], (first - second) / _VOTE
        scores = _scores(votes)
    else:
        words = _WORDS.findall(lower)
        *votes, hits, letters = _latin(words)
        scores = _scores(votes)
        foreign = Counter(_FOREIGN.findall(text))
        scripts = _scripts(foreign)
        script, count = max(scripts.items(), key=lambda item: item[1], default=("", 0))
        if count > _LATIN_WEIGHT * letters:
            return _of_script(script, scripts, foreign, text.split()), inf
        for letter, times in Counter(_SPECIAL.findall(lower)).items():
            languages = ("vi",) if "\u1ea0" <= letter <= "\u1eff" else _LETTERS.get(letter, ())
            for name in languages:
                scores[name] = scores.get(name, 0.0) + _LETTER_WEIGHT * min(times, _MOST) / len(languages)
        name, lead = _winner(scores, hits, len(words))
        if name != UNKNOWN:
            return name, lead
    hits += _add_endings(scores, words)
    return _winner(scores, hits, len(words))


def _winner(scores: dict[str, float], hits: int, words: int) -> tuple[str, float]:
    best, score, second = UNKNOWN, 0.0, 0.0
    for name, votes in scores.items():  # a loop: sorting takes twice the time
        if votes > score:
            best, score, second = name, votes, score
        elif votes > second:
            second = votes
    if score < _MIN_SCORE or max(hits, score) < _MIN_SHARE * words or score == second:
        return UNKNOWN, 0.0
    return best, score - second


def _add_endings(scores: dict[str, float], words: list[str]) -> int:
    """Count the endings of words, too: some languages put them where others have small words."""
    hits = 0
    for word in words:
        for length in (5, 4, 3):
            name = _ENDING.get(word[-length:]) if len(word) > length else None
            if name is not None:
                scores[name] = scores.get(name, 0.0) + _LETTER_WEIGHT
                hits += 1
                break
    return hits


def _latin(words: list[str]) -> tuple[int, ...]:
    """Return the votes for each language, how many words are evidence, and their letters.

    A word counts for each of its languages by how few they are.
    """
    return _SUM.unpack(sum(map(_VOTES.get, words, repeat(0))).to_bytes(_SUM.size, "little"))


def _scores(votes: Sequence[int]) -> dict[str, float]:
    return {name: count / _VOTE for name, count in zip(_NAMES, votes, strict=True) if count}


def _scripts(characters: Counter[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for character, times in characters.items():
        script = _SCRIPTS[bisect_right(_STARTS, ord(character)) - 1][1]
        if script:
            counts[script] = counts.get(script, 0) + times
    return counts


def _of_script(script: str, scripts: dict[str, int], characters: Counter[str], words: list[str]) -> str:
    if script in ("zh", "ja"):
        kana = scripts.get("ja", 0)
        return "ja" if kana > _KANA_SHARE * (kana + scripts.get("zh", 0)) else "zh"
    if script == "arabic":
        return next((name for name, letters in _ARABIC if not letters.isdisjoint(characters)), "ar")
    if script == "cyrillic":
        for name, letters in _CYRILLIC:
            if not letters.isdisjoint(characters):
                return name
        if any(map(_BULGARIAN.search, words)):
            return "bg"
    if script in _TELLING_OF:
        found = {name: sum(word in each for word in words) for name, each in _TELLING_OF[script].items()}
        return max(found, key=lambda name: found[name])
    return script
