"""What kind of work a prompt asks for, by its words."""

from __future__ import annotations

import re
from typing import Final

OTHER: Final = "other"

_START = r"^(?:please |can you |could you |would you |will you |i want you to |i need you to |help me )*"

_RULES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (task, re.compile("|".join(patterns), re.IGNORECASE))
    for task, *patterns in (
        ("translate", r"\btranslat(?:e|es|ing|ion)\b", r"\bhow do (?:you|i) say\b.*\bin [a-z]+"),
        (
            "summarise",
            r"\bsummari[sz](?:e|es|ing|ation)\b",
            r"\bsummary of\b",
            r"\btl;?dr\b",
            r"\bkey (?:points|takeaways)\b",
        ),
        (
            "classify",
            r"\bclassif(?:y|ies|ication)\b",
            r"\bcategori[sz]e\b",
            r"\bsentiment\b",
            r"\bwhich (?:category|label|class)\b",
        ),
        (
            "extract",
            r"\bextract\b",
            r"\bpull out\b",
            r"\blist all the (?:names|dates|emails)\b",
            r"\bnamed entit(?:y|ies)\b",
        ),
        (
            "code",
            r"```",
            r"\b(?:stack ?trace|traceback|regex|sql|refactor|debug|unit tests?|source code)\b",
            r"\b(?:write|fix|implement|create|explain)\b.{0,40}\b(?:code|function|class|script|program|method|query|algorithm)\b",
            r"\bin (?:python|java|javascript|typescript|rust|golang|c\+\+|c#|bash|ruby|php|kotlin|swift)(?!\w)",
        ),
        (
            "math",
            r"\d\s*[+*/^=\u00d7\u00f7]\s*\d",
            r"\d\s+-\s+\d",
            r"\d\s*%\s*of\b",
            r"\b(?:calculate|compute|integral|derivative|equation|square root|solve for|prove that)\b",
            r"\bprobability (?:of|that)\b",
        ),
        (
            "question",
            _START
            + r"(?:who|what|when|where|why|which|whose|how|is|are|was|were|do|does|did|can|could|should|would|will"
            r"|has|have|explain|tell me|define|describe)\b",
            r"\?\s*$",
        ),
        ("chat", r"^(?:hi|hello|hey|thanks|thank you|good (?:morning|afternoon|evening)|bye|ok|okay|yes|no|cool)\b"),
    )
)
_LOOKED_AT: Final = 4_000

_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "translate": ("translat", "say"),
    "summarise": ("summar", "tl;dr", "tldr", "key"),
    "classify": ("classif", "categor", "sentiment", "which"),
    "extract": ("extract", "pull out", "list all", "named"),
    "code": (
        *("```", "stack", "traceback", "regex", "sql", "refactor", "debug", "unit test", "source code"),
        *("code", "function", "class", "script", "program", "method", "query", "algorithm"),
        *("in python", "in java", "in typescript", "in rust", "in golang", "in c++", "in c#", "in bash", "in ruby"),
        *("in php", "in kotlin", "in swift"),
    ),
    "math": (
        *"0123456789",
        *("calculate", "compute", "integral", "derivative", "equation", "square root", "solve for", "prove that"),
        "probability",
    ),
}
"""Texts in lower case of which one must be there for a rule to match: looking for them is far cheaper than the rule."""


def task_of(text: str) -> str:
    """Return translate, summarise, classify, extract, code, math, question, chat or other.

    The first rule that matches wins, so work on a text comes before asking about it. Only the first 4,000
    characters are looked at: instructions stand at the beginning, and the cost stays bounded.
    """
    head = text[:_LOOKED_AT].strip()
    lower = head.lower() if head.isascii() else ""
    for task, pattern in _RULES:
        needed = _NEEDED.get(task) if lower else None
        if (needed is None or any(word in lower for word in needed)) and pattern.search(head):
            return task
    return OTHER
