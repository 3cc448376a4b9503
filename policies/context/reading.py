"""The deterministic reading: what a question leans on, as text, or that it stands alone.

A question that stands alone (`standing`) has no context: it hits whatever was talked about before it. One that leans has
everything that was said as its context, courtesies left out: which of it matters is for the comparison of two readings to
judge (policies/acceptance/context.py), since an earlier fact that is left out here could not be missed there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ...middleware.keys import split_messages, text_of
from ...middleware.records import Reading
from .sentences import sentences_of
from .standing import is_instructed, is_reply, seeks_advice, tells_of_oneself, why_it_leans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

MAX_CHARS: Final = 16_000
"""Of all earlier turns; with more, an identical conversation is asked for."""

NEAR: Final = 6
"""Turns before the question that it may go on with."""

_ROLES: Final = frozenset({"user", "assistant"})
_TIME_OF_DAY: Final = re.compile(r"^\s*(?:good )?(?:morning|afternoon|evening)(?: there| all)?[!,.]+\s*", re.IGNORECASE)


class ContextualReading:
    """Reads a conversation by rules: no model, no state, no randomness.

    A reading's text has one line a turn: ``offer:`` first, the last thing the assistant said, where the question replies
    to it; then ``user:`` and ``assistant:`` in order. Not resolved: a turn that is not text, of another role (a tool),
    or that carries more than a role and text; more than `MAX_CHARS` characters; no question at the end.
    """

    def read(self, messages: Sequence[JsonObject]) -> Reading:
        """Return the reading of the last turn.

        Where it leans its reason is a label of `standing.why_it_leans`, or ``instructed``: an earlier turn said how to answer.
        """
        _, earlier, last = split_messages(messages)
        if not earlier:
            return Reading()
        texts = [_plain(turn) for turn in earlier]
        question = _plain(last) if last is not None else None
        turns = [text for text in texts if text is not None]
        if question is None or len(turns) < len(texts):
            return Reading(resolved=False, reason="not_text")
        if sum(map(len, turns)) > MAX_CHARS or len(question) > MAX_CHARS:
            return Reading(resolved=False, reason="too_long")
        lines = _lines([str(turn["role"]) for turn in earlier], turns)
        asked = sentences_of(question, asks=True)
        if not lines:
            return Reading(reason="only_courtesies")
        near = [text for _, text in (*lines[:1], *lines[-NEAR:])]
        leans = why_it_leans(asked, near)
        if leans is None and any(is_instructed(text) for role, text in lines if role == "user"):
            leans = "instructed"
        if (
            leans is None
            and seeks_advice(question)
            and any(tells_of_oneself(text) for role, text in lines if role == "user")
        ):
            leans = "advice"
        if leans is None:
            return Reading(reason="stands_alone")
        if lines[-1][0] == "assistant" and is_reply(asked):
            lines = [("offer", lines[-1][1]), *lines[:-1]]
        return Reading(text="\n".join(f"{role}: {text}" for role, text in lines), reason=leans)


def _plain(turn: JsonObject) -> str | None:
    """Return the text of a turn, None where it is more than a text that a user or the assistant wrote."""
    if turn.get("role") not in _ROLES or any(value for name, value in turn.items() if name not in ("role", "content")):
        return None
    text, others = text_of(turn.get("content"))
    return None if others else text


def _lines(roles: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return (role, text) of the turns that say something."""
    lines: list[tuple[str, str]] = []
    asked = False
    for at, (role, text) in enumerate(zip(roles, texts, strict=True)):
        sentences = sentences_of(text if at else _TIME_OF_DAY.sub("", text), asks=role == "user")
        # "fine" after "Shall I cancel it?" is no courtesy
        line = " ".join(text.split()) if asked and role == "user" else _joined(sentences)
        if line:
            lines.append((role, line))
        asked = role == "assistant" and bool(sentences) and sentences[-1].endswith("?")
    return lines


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(sentence if sentence.endswith("?") else f"{sentence}." for sentence in sentences)
