"""What kind of work a prompt asks for, by its words. English."""

from __future__ import annotations

from typing import Final

from .gated import Gated, Rules, gated, words_of

OTHER: Final = "other"
LOOKED_AT: Final = 1_000
"""Characters: instructions stand at the beginning."""

_POLITE: Final = r"^(?:please |can you |could you |would you |will you |i want you to |i need you to |help me )*"
_ASKING: Final = (
    "who what when where why which whose how is are was were do does did can could should would will has have explain define "
    "describe"
)
_VERBS: Final = "write fix implement create explain"
_PIECES: Final = "code function class script program method query algorithm"
_SIGNS: Final = "+*/^=\u00d7\u00f7"
_BEHIND: Final = r"(?:(?<=\d)|(?<=\d\s)|(?<=\d\s\s))"
"""Behind a digit and at most two blanks."""
_LANGUAGES: Final = "python java javascript typescript rust golang bash ruby php kotlin swift"
_SUMMARISE: Final = "summarise summarises summarising summarisation summarize summarizes summarizing summarization"
_GREETINGS: Final = "hi hello hey thanks bye ok okay yes no cool"


def _any_of(words: str) -> str:
    return f"(?:{words.replace(' ', '|')})"


def _word(label: str, pattern: str, words: str) -> Gated:
    """Return a rule for what begins with one of some words."""
    return gated(label, rf"\b{pattern}", words, first=words)


TASKS: Final = Rules(
    [
        _word("translate", r"translat(?:e|es|ing|ion)\b", "translate translates translating translation"),
        gated("translate", r"\bhow do (?:you|i) say\b.*\bin [a-z]+", "say", "how", "do", "in", first="how"),
        _word("summarise", r"summari[sz](?:e|es|ing|ation)\b", _SUMMARISE),
        gated("summarise", r"\bsummary of\b", "summary", first="summary"),
        _word("summarise", r"tl;?dr\b", "tl tldr"),
        gated("summarise", r"\bkey (?:points|takeaways)\b", "points takeaways", "key", first="key"),
        _word(
            "classify",
            r"(?:classif(?:y|ies|ication)|categori[sz]e|sentiment)\b",
            "classify classifies classification categorise categorize sentiment",
        ),
        gated("classify", r"\bwhich (?:category|label|class)\b", "category label class", "which", first="which"),
        _word("extract", r"(?:extract|pull out)\b", "extract pull"),
        gated("extract", r"\blist all the (?:names|dates|emails)\b", "names dates emails", "list", "all", first="list"),
        gated("extract", r"\bnamed entit(?:y|ies)\b", "entity entities", "named", first="named"),
        gated("code", "```", pieces="`"),  # one sign is found in a tenth of the time
        _word(
            "code",
            r"(?:stack ?trace|traceback|regex|sql|refactor|debug|unit tests?|source code)\b",
            "stack stacktrace traceback regex sql refactor debug unit source",
        ),
        gated("code", rf"\b{_any_of(_VERBS)}\b.{{0,40}}\b{_any_of(_PIECES)}\b", _PIECES, _VERBS, first=_VERBS),
        gated(
            "code",
            rf"(?<=\bin )(?:{_any_of(_LANGUAGES)}|c\+\+|c#)(?!\w)",
            f"{_LANGUAGES} c",
            "in",
            first=f"{_LANGUAGES} c",
        ),
        gated("math", rf"{_BEHIND}[{_SIGNS}]\s*\d", pieces=_SIGNS),
        gated("math", rf"{_BEHIND}%\s*of\b", pieces="%"),
        gated("math", r"(?:(?<=\d\s)|(?<=\d\s\s))-\s+\d", pieces="-"),
        _word(
            "math",
            r"(?:calculate|compute|integral|derivative|equation|square root|solve for|prove that)\b",
            "calculate compute integral derivative equation square solve prove",
        ),
        _word("math", r"probability (?:of|that)\b", "probability"),
        gated("question", rf"{_POLITE}(?:{_any_of(_ASKING)}|tell me)\b", f"{_ASKING} tell"),
        gated("question", r"\?\s*$", pieces="?"),
        gated(
            "chat",
            rf"^(?:{_any_of(_GREETINGS)}|thank you|good (?:morning|afternoon|evening))\b",
            f"{_GREETINGS} thank good",
        ),
    ]
)


def task_of(text: str) -> str:
    """Return translate, summarise, classify, extract, code, math, question, chat or other.

    The first rule that matches wins, so work on a text comes before asking about it. Only the first 1,000
    characters are looked at, and whether the last is a question mark: instructions stand at the beginning.
    """
    head = beginning(text.strip()).lower()
    return TASKS.first(frozenset(words_of(head)), head) or OTHER


def beginning(text: str) -> str:
    """Return what is looked at, and the question mark that a longer text ends with."""
    return f"{text[:LOOKED_AT]}?" if len(text) > LOOKED_AT and text.endswith("?") else text[:LOOKED_AT]
