"""An answer as plain text: without markdown, without courtesies, its code apart.

What is left is what two answers are compared by. Nothing is removed that could carry meaning on its own: code is
compared letter by letter, and a number keeps its sign, its point and its unit.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"^[ \t]*(```|~~~)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_HEADING: Final = re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE)
_QUOTE: Final = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
_BULLET: Final = re.compile(r"^[ \t]*(?:[-*+\u2022]|\(?\d{1,2}[.)])[ \t]+(?=\S)", re.MULTILINE)
_RULE: Final = re.compile(r"^[ \t|:*_-]+$", re.MULTILINE)
_EMPHASIS: Final = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|~~)(?=\S)([^\n]*?\S)\1(?!\w)")
_SENTENCE: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[^\W\d_a-z]|\d)|\n+")
_QUOTES: Final = str.maketrans("\u2018\u2019\u201b\u02bc\u201c\u201d\u2212", "''''\"\"-")

_OPENING: Final = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|absolutely|gladly|hello|hi(?: there)?|(?:great|good) question"
    r"|thanks? (?:you )?for (?:asking|your (?:question|message))|(?:i'd be |i'm )?happy to help)\s*[,!.:]+\s+",
    re.IGNORECASE,
)
_ANNOUNCED: Final = re.compile(r"(?:the )?(?:final |short )?answer(?: is\b:?|:)\s+", re.IGNORECASE)
_CLOSING: Final = re.compile(
    r"(?:i )?hope (?:this|that|it) helps?\b.*"
    r"|(?:please )?(?:let me know|feel free|do not hesitate|don't hesitate)\b.*"
    r"|(?:is there|do you have) (?:anything|any) (?:else|other|more)\b.*\?"
    r"|if you (?:have|need) (?:any|anything|more|further)\b.*\b(?:let me know|feel free|ask|reach out|here to help)\b.*"
    r"|have a (?:great|nice|good|lovely) (?:day|one|time|weekend)\b.*"
    r"|(?:i'm |always )?(?:happy|glad|here) to help\b.*"
    r"|(?:please )?(?:thank you|thanks)\b.{0,40}|you're welcome\b.{0,20}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Plain:
    """A text in pieces.

    Attributes:
        sentences: of the prose, and the items of its lists, in order; decoration and courtesies are gone.
        code: the fenced blocks, in order, without blanks at line ends.
        spans: the code inside lines; its text stands in the sentences, too.
    """

    sentences: tuple[str, ...]
    code: tuple[str, ...]
    spans: frozenset[str]

    @property
    def prose(self) -> str:
        """All sentences as one text."""
        return " ".join(self.sentences)

    def codes_alike(self, other: Plain) -> bool:
        """Return whether both hold the same code; whether a word inside a line is marked as code does not count."""
        return self.code == other.code and (not self.spans or not other.spans or self.spans == other.spans)


def plain(text: str) -> Plain:
    """Take a text's decoration and courtesies off. Linear in its length; no text makes it raise."""
    text = unicodedata.normalize("NFKC", text.replace("\r\n", "\n")).translate(_QUOTES)
    code = tuple(_unblanked(match.group(2)) for match in _FENCE.finditer(text))
    text = _FENCE.sub("\n", text)
    spans = frozenset(_INLINE.findall(text))
    for pattern in (_RULE, _QUOTE, _HEADING, _BULLET):
        text = pattern.sub("", text)
    text = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _INLINE.sub(r"\1", text)))
    sentences = [sentence for piece in _SENTENCE.split(text) if (sentence := piece.strip(" \t|"))]
    return Plain(tuple(_spared(sentences)), code, spans)


def _spared(sentences: list[str]) -> list[str]:
    """Return the sentences without courtesies, unless there is nothing else."""
    kept = list(sentences)
    while kept and _CLOSING.fullmatch(kept[-1].rstrip()):
        kept.pop()
    while kept:
        bare = _OPENING.sub("", kept[0] + " ", count=1) if _OPENING.match(kept[0] + " ") else kept[0]
        bare = bare.strip()
        if bare == kept[0]:
            break
        kept[:1] = [bare] if bare else []
    if not kept:
        return sentences
    announced = _ANNOUNCED.match(kept[0])
    if announced and kept[0][announced.end() :].strip():
        kept[0] = kept[0][announced.end() :].strip()
    return kept


def _unblanked(code: str) -> str:
    return "\n".join(line.rstrip() for line in code.splitlines()).strip("\n")
