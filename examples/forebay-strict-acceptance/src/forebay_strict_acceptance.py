"""An acceptance policy that wants similar vectors and nearly the same words."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from forebay import ACCEPTANCE, Asked, Build, Candidate, Registrar, Settings, Verdict, hookimpl

_WORD: Final = re.compile(r"\w+")
_EMPTY_WORDS: Final = frozenset(
    "a an and are at be by can could did do does for from how i in is it me my of on or please so tell that the"
    " this to us was we were what when where which who why will with would you your".split()
)


class StrictSettings(Settings):
    """What both questions must have in common.

    Attributes:
        similarity: lowest cosine similarity of the vectors.
        overlap: lowest share of content words, |both| / |either| (Jaccard).
    """

    similarity: Annotated[float, Field(ge=0, le=1)] = 0.9
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.8


class StrictAcceptance:
    """Accepts a candidate that is close in meaning and in wording."""

    def __init__(self, settings: StrictSettings) -> None:
        self._settings = settings

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the verdict; the lower of the two measures is the confidence."""
        entry = candidate.entry
        if asked.key.reading != entry.reading:
            return Verdict(False, 0.0, "other_context")
        overlap = jaccard(content_words(asked.key.text), content_words(entry.question))
        confidence = max(0.0, min(candidate.similarity, overlap, 1.0))
        if candidate.similarity < self._settings.similarity:
            return Verdict(False, confidence, "below_threshold")
        if overlap < self._settings.overlap:
            return Verdict(False, confidence, "other_words")
        return Verdict(True, confidence, "close")


def content_words(text: str) -> frozenset[str]:
    """Return the words of a text, without those that carry no content."""
    return frozenset(_WORD.findall(text.casefold())) - _EMPTY_WORDS


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Return |left and right| / |left or right|, and 0 where neither holds a word."""
    either = left | right
    return len(left & right) / len(either) if either else 0.0


def _make_strict(settings: StrictSettings, _build: Build) -> StrictAcceptance:
    return StrictAcceptance(settings)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Add the policy under the name the YAML uses."""
    registry.add(ACCEPTANCE, "strict", _make_strict, settings=StrictSettings, stability="beta")
