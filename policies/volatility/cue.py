"""A cue: what in a question says how soon its answer goes stale. English."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Volatility

_ASKING: Final = (
    r"(?:(?:please|hey|hi|hello|ok|okay|and|so|now|also|kindly|siri|assistant|then|yes)[ ,]+)*"
    r"(?:(?:can|could|would|will) (?:you|u|somebody|someone) (?:please |kindly |just )?|i (?:need|want|would like|wish) (?:for )?(?:you )?to (?:try and |go ahead and )?"
    r"|i(?:'d| would) like (?:for )?(?:you )?to |you (?:can|should|need to|must) |let's |help me |help |go ahead and |i(?:'m| am) trying to |make sure (?:to |you )?)?(?:please )?"
)


@dataclass(frozen=True, slots=True)
class Cue:
    """What decides, where a question begins with it or says it.

    Attributes:
        reason: bounded label.
        gates: words of which a question holds at least one where the cue fits; looking for words is far cheaper than for
            patterns.
        also: words of which it holds one, too, where there are any.
        start: what a question begins with, None where that does not matter.
        words: what it says anywhere.
        pieces: of which it holds one where `words` fits, where there are any.
    """

    volatility: Volatility
    reason: str
    gates: frozenset[str]
    also: frozenset[str]
    start: re.Pattern[str] | None
    words: re.Pattern[str] | None
    pieces: tuple[str, ...]

    def fits(self, text: str) -> bool:
        """Return whether it fits a question in lower case, with plain apostrophes."""
        start, words = self.start, self.words
        if start is not None and start.match(text):
            return True
        for piece in self.pieces:
            if piece in text:
                break
        else:
            if self.pieces:
                return False
        return words is not None and words.search(text) is not None


def cue(
    volatility: Volatility,
    reason: str,
    gates: str,
    *,
    also: str = "",
    asked: Sequence[str] = (),
    start: Sequence[str] = (),
    words: Sequence[str] = (),
    pieces: Sequence[str] = (),
) -> Cue:
    """Return a cue: `asked` stands behind a polite beginning, `start` at the very beginning, `words` where a word begins."""
    begins = [*start, *([f"{_ASKING}(?:{'|'.join(asked)})"] if asked else ())]
    return Cue(
        volatility,
        reason,
        frozenset(gates.split()),
        frozenset(also.split()),
        re.compile("|".join(begins)) if begins else None,
        # one \\b for all: it is by far the quickest way to say no to most places of a text
        re.compile(rf"\b(?:{'|'.join(words)})") if words else None,
        tuple(pieces),
    )
