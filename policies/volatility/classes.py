"""How soon the answer to a question goes stale, by the words of the question."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final, cast

from ...middleware.analysis.facts import Staleness, Volatility
from ...middleware.keys import canonical_text, text_of
from .cues import CUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.records import JsonObject, Request
    from .cue import Cue

LOOKED_AT: Final = 150
"""Characters at each end of the last user turn: in a longer one the instructions stand at its ends, and words of the
material between them are not the question's."""

_LETTERS: Final = bytes(code if chr(code) in ascii_lowercase else ord(" ") for code in range(256))
_GATES: Final[Mapping[str, tuple[int, ...]]] = {
    word: tuple(at for at, cue in enumerate(CUES) if word in cue.gates)
    for word in frozenset[str]().union(*(cue.gates for cue in CUES))
}
_GATE_WORDS: Final = frozenset(_GATES).union(*(cue.also for cue in CUES))
_TIMELESS: Final = frozenset(at for at, cue in enumerate(CUES) if cue.volatility is Volatility.TIMELESS)
_PAST: Final = next(at for at, cue in enumerate(CUES) if cue.reason == "past")
_BY_CUE: Final = tuple(Staleness(cue.volatility, cue.reason) for cue in CUES)
_LASTING: Final = Staleness(Volatility.TIMELESS, "default")
_EMBEDDING: Final = Staleness(Volatility.TIMELESS, "embedding")


class VolatilityClassifier:
    """Sets `RequestFacts.staleness`; its reasons are those of the cues, ``default`` where none fits and ``embedding``.

    An answer that is stale at once is not cacheable (reason ``volatile``); one about the asker's own affairs is not
    given to a similar question (reason ``personal``).
    """

    def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
        """Return the facts with how soon the answer goes stale."""
        # a vector is the same tomorrow
        staleness = _EMBEDDING if request.endpoint == "embeddings" else staleness_of(_question(request.messages))
        if staleness.volatility is Volatility.LIVE and facts.cacheable:
            return facts.having(staleness=staleness, cacheable=False, semantic=False, reason="volatile")
        if staleness.volatility is Volatility.PERSONAL and facts.semantic:
            return facts.having(staleness=staleness, semantic=False, reason="personal")
        return facts.having(staleness=staleness)


def staleness_of(question: str) -> Staleness:
    """Return how soon the answer to a question in canonical form goes stale.

    A cue is looked for in each sentence on its own, and only in those with one of its words: an earlier cue decides before
    a later one, in whichever sentence it is. One that says what holds anyhow is left out where no later one may differ.
    """
    text = _looked_at(question)
    known = _GATE_WORDS.intersection(text.encode("ascii", "replace").translate(_LETTERS).decode("ascii").split())
    possible: dict[int, list[str]] = {}
    for word in known:
        for at in _GATES.get(word, ()):
            if at in possible:
                possible[at].append(word)
            else:
                possible[at] = [word]
    order = sorted(possible)
    while order and order[-1] in _TIMELESS:
        order.pop()
    there = _split(text) if order else ()
    for at in order:
        # what is past is only asked for where something behind it fits, which is seldom
        if at != _PAST and _is_said(CUES[at], possible[at], known, there):
            if at > _PAST and _PAST in possible and _is_said(CUES[_PAST], possible[_PAST], known, there):
                return _BY_CUE[_PAST]
            return _BY_CUE[at]
    return _LASTING


def _is_said(cue: Cue, words: Sequence[str], known: frozenset[str], there: Sequence[str]) -> bool:
    """Return whether a cue fits one of some sentences, of which it is looked for in those with one of its words."""
    if cue.also and cue.also.isdisjoint(known):
        return False
    for sentence in there:
        for word in words:  # a loop: with `any` it takes twice the time
            if word in sentence:
                if cue.fits(sentence):
                    return True
                break
    return False


def ungated(question: str) -> Cue | None:
    """Return the cue that decides, looked for in every sentence: slower than `staleness_of`, and never another."""
    there = sentences(question)
    return next((cue for cue in CUES if any(map(cue.fits, there))), None)


def sentences(question: str) -> Sequence[str]:
    """Return the sentences that are looked at, in lower case and with plain apostrophes."""
    return _split(_looked_at(question))


def _looked_at(question: str) -> str:
    if len(question) > 2 * LOOKED_AT:
        question = f"{question[:LOOKED_AT]}\n{question[-LOOKED_AT:]}"
    return question.lower().replace("\u2019", "'")


def _split(text: str) -> Sequence[str]:
    for blank in " \t":
        if blank in text:
            text = text.replace(f".{blank}", ".\n").replace(f"?{blank}", "?\n").replace(f"!{blank}", "!\n")
    return [sentence.strip() for sentence in text.split("\n")]


def _question(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return ""
    for message in reversed(cast("Sequence[Any]", value)):
        # first the one that nearly all are: a tenth of asking the other
        if isinstance(message, (dict, Mapping)) and cast("JsonObject", message).get("role") == "user":
            return canonical_text(text_of(cast("JsonObject", message).get("content"))[0])
    return ""
