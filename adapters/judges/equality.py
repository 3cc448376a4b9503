"""The judge `equality`: the same answer in other clothes, or two short answers that contradict each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ...middleware.keys import UncacheableError, canonical_json
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Judgement
from .plain import plain
from .words import AFFIRMED, DENIED, nearly_equal, stem, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import AnswerPair
    from .plain import Plain
    from .words import Token

SHORT: Final = 3
"""Words of an answer whose difference in a number is a difference."""
LONGEST_CHARS: Final = 1_000_000
_FENCED: Final = ("```", "~~~")


class EqualityJudge:
    """Compares two answers as JSON where both are, else as words.

    Case, blanks, markdown, punctuation and courtesies do not count; numbers are compared as numbers, fenced code letter
    by letter. Different is only said of yes and no, of two single words, and of short answers that differ in a number.
    """

    async def compare(self, pair: AnswerPair) -> Judgement:
        """Return the judgement; most pairs it cannot tell."""
        return judged(pair.kept, pair.fresh)


def judged(kept: str, fresh: str) -> Judgement:
    """Return the judgement on two texts."""
    if kept == fresh:
        return Judgement(same=True, reason="equal")
    if max(len(kept), len(fresh)) > LONGEST_CHARS:
        return Judgement(same=None, reason="too_long")
    left_json, right_json = _document(kept), _document(fresh)
    if left_json is not None or right_json is not None:
        return Judgement(True, "equal_json") if left_json == right_json else Judgement(None, "not_equal")
    return _in_words(plain(kept), plain(fresh))


def _in_words(kept: Plain, fresh: Plain) -> Judgement:
    if not kept.codes_alike(fresh):
        return Judgement(None, "code_differs")
    left, right = _tokens(kept), _tokens(fresh)
    if [one.text for one in left] == [one.text for one in right]:
        # two texts without any word are not equal for that
        return Judgement(True, "equal_words") if left or kept.code else Judgement(None, "no_words")
    if kept.code:
        return Judgement(None, "not_equal")
    says, said = polarity(kept), polarity(fresh)
    if says is not None and said is not None:
        if says is not said:
            return Judgement(False, "yes_or_no")
        if len(left) == len(right) == 1:
            return Judgement(True, "same_yes_or_no")
    return _short(left, right)


def polarity(answer: Plain) -> bool | None:
    """Return whether an answer opens with a yes (True) or a no (False) that stands on its own."""
    words = answer.prose.lstrip("\"'(").split(maxsplit=1)
    if not words:
        return None
    first = words[0].casefold()
    bare = first.rstrip(".,!;:-\u2013\u2014")
    if bare == first and len(words) > 1 and words[1][0] not in "-\u2013\u2014":
        return None
    return True if bare in AFFIRMED else False if bare in DENIED else None


def _short(left: Sequence[Token], right: Sequence[Token]) -> Judgement:
    if len(left) != len(right) or not 0 < len(left) <= SHORT:
        return Judgement(None, "not_equal")
    differing = [(one, other) for one, other in zip(left, right, strict=True) if one.text != other.text]
    if all(one.number and other.number for one, other in differing):
        near = all(nearly_equal(one.text, other.text) for one, other in differing)
        return Judgement(None, "rounded_number") if near else Judgement(False, "other_number")
    one, other = left[0].text, right[0].text
    if len(left) == 1 and one.isalpha() and other.isalpha() and not _related(one, other):
        return Judgement(False, "other_word")
    return Judgement(None, "not_equal")


def _related(one: str, other: str) -> bool:
    """Return whether two words may be forms or abbreviations of one."""
    shorter, longer = sorted((stem(one), stem(other)), key=len)
    return longer.startswith(shorter[: max(3, len(shorter) - 2)]) or len(shorter) <= 3  # noqa: PLR2004


def _tokens(answer: Plain) -> tuple[Token, ...]:
    return tuple(token for sentence in answer.sentences for token in tokens(sentence))


def _document(text: str) -> str | None:
    """Return a JSON object or array in canonical form, taken out of a fence that is all of the answer."""
    stripped = text.strip()
    for fence in _FENCED:
        if stripped.startswith(fence) and stripped.endswith(fence) and stripped.count(fence) == 2:  # noqa: PLR2004
            stripped = stripped[len(fence) : -len(fence)].lstrip().removeprefix("json").strip()
    if not stripped.startswith(("{", "[")):
        return None
    try:
        value: Any = json.loads(stripped)
        return canonical_json(value) if is_object(value) or is_array(value) else None
    except (ValueError, RecursionError, UncacheableError):
        return None
