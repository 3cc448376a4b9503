"""What the words of two questions say about whether they share an answer, as numbers for a model.

Every feature is symmetric in the two questions. Those of `FAVOURABLE` never count against a pair, those of
`UNFAVOURABLE` never for it, whatever a model was fitted on: `adapters/lab/fit.py` keeps their signs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from .evidence import (
    content_of,
    genders,
    missing_names,
    number_conflict,
    opposites,
    order_conflict,
    own_content,
    own_values,
    script_conflict,
    stripped,
)
from .lexis import SAME
from .relations import (
    AUXILIARIES,
    DEGREES,
    FURTHER,
    HOW_MUCH,
    OVERRIDING,
    PERSONS,
    PREPOSITIONS,
    QUESTION_WORDS,
    SUBJECTS,
)
from .words import stem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from .lexis import Lexis
    from .words import Reading, Word

UNFAVOURABLE: Final = (
    "numbers",  # each side has a number that the other lacks
    "number_added",  # one side has
    "units",  # units, dates or signs differ
    "negation",
    "opposite",
    "names",  # each side has a name that the other lacks
    "name_added",
    "order",
    "asks_other",  # who, when, where or why, and something else
    "asks_yes",  # only one side wants a yes or a no
    "commands",  # only one side is no question
    "asks_why",
    "asks_how_much",  # how many, how long, … and something else
    "gap_less",  # rarest unmatched word, of the side that has less to lose, and of the other
    "gap_more",
    "lost_less",  # weight of all unmatched words
    "lost_more",
    "own",  # unmatched words of the side that has more
    "siblings",
    "replaced",  # one or two words in one place
    "added",  # content in one place, on one side
    "prepositions",
    "degrees",
    "persons",
    "last",  # the last words differ
    "gap_less_in_place",  # … in questions that are the same around one place
    "gap_more_in_place",
)
FAVOURABLE: Final = ("covered", "matched")
NEUTRAL: Final = (
    "shared",  # Jaccard indices: of content words, of words side by side, of all words
    "shared_pairs",
    "shared_words",
    "in_place",  # share of the words around the one place
    "reworded",  # words matched by another word
    "length_difference",
    "shorter",  # logarithms of lengths in words
    "longer",
)
NAMES: Final = (*UNFAVOURABLE, *FAVOURABLE, *NEUTRAL)
SIGNS: Final = (*(-1 for _ in UNFAVOURABLE), *(1 for _ in FAVOURABLE), *(0 for _ in NEUTRAL))
"""Of each feature: the sign its weight must have, 0 for either."""

_CLOSE: Final = 0.6
_AROUND: Final = 0.5
"""With that much of both covered, or around the one place, the questions are the same but for one or two words."""
_MOST: Final = 4.0
_FEW: Final = 2
_PLACE: Final = 4
_REQUEST: Final = 4
"""Words from which on what stands before, behind or inside a question asks for something more."""
_KINDS: Final = frozenset({"who", "when", "where", "why"})


class Comparison(NamedTuple):
    """Features in the order of `NAMES`, and the label of what rules the pair out, None for nothing."""

    values: tuple[float, ...]
    veto: str | None


class _Side(NamedTuple):
    covered: float
    gap: float
    lost: float


def compare(a: Reading, b: Reading, lexis: Lexis) -> Comparison:
    """Compare two questions.

    Vetoes: script_conflict; number_conflict where each side has a number, a date or a unit of its own; addition where one
    question is the other and a further request; negation_conflict, antonym_conflict, entity_conflict, order_conflict and
    question_conflict where the questions are otherwise close.
    """
    own_a, own_b = own_content(a, b)
    siblings, clash, reworded = _match(a, b, own_a, own_b, lexis)
    side_a = _side(a, own_a, b, own_b, lexis)
    side_b = _side(b, own_b, a, own_a, lexis)
    covered = min(side_a.covered, side_b.covered)
    place_a, place_b = stripped(a.words, b.words)
    length_a, length_b = max(1, len(a.words)), max(1, len(b.words))
    in_place = 1.0 - max(len(place_a), len(place_b)) / max(length_a, length_b)
    in_a, in_b = content_of(place_a), content_of(place_b)
    counts = bool(a.numbers or b.numbers)
    numbers_a, numbers_b = counts and own_values(a, b), counts and own_values(b, a)
    dates_a, dates_b = set(a.dates), set(b.dates)
    measured = counts or dates_a or dates_b or a.operators or b.operators
    measures = bool(measured) and not numbers_a and not numbers_b and number_conflict(a, b)
    names_a, names_b = _lacks_name(a, b, own_a), _lacks_name(b, a, own_b)
    turned = order_conflict(a, b)
    negations = sum(word.text == "not" for word in a.words) != sum(word.text == "not" for word in b.words)
    clash = clash or _clash_in_place(place_a, place_b)
    asks_a, asks_b = _asks(a), _asks(b)
    asks_other = asks_a != asks_b and (asks_a in QUESTION_WORDS or asks_b in QUESTION_WORDS)
    gap_less, gap_more = sorted((side_a.gap, side_b.gap))
    lost_less, lost_more = sorted((side_a.lost, side_b.lost))
    in_one_place = len(place_a) < length_a
    last_a, last_b = _last(a), _last(b)
    values = (
        numbers_a and numbers_b,
        numbers_a != numbers_b,
        measures,
        negations,
        clash,
        names_a and names_b,
        names_a != names_b,
        turned,
        asks_other,
        (asks_a == "yes") != (asks_b == "yes"),
        (asks_a == "") != (asks_b == ""),
        (asks_a == "why") != (asks_b == "why"),
        (asks_a in HOW_MUCH) != (asks_b in HOW_MUCH),
        gap_less,
        gap_more,
        min(lost_less, _MOST),
        min(lost_more, _MOST),
        min(max(len(own_a), len(own_b)), 6) / 6,
        min(siblings, _FEW),
        in_one_place and 0 < len(own_a & in_a) <= _FEW and 0 < len(own_b & in_b) <= _FEW,
        bool(in_a) != bool(in_b) and bool(own_a or own_b),
        _differing(a, b, PREPOSITIONS),
        _differing(a, b, DEGREES),
        _differing(a, b, PERSONS),
        last_a != last_b and (last_a in own_a or last_b in own_b),
        gap_less * in_place,
        gap_more * in_place,
        covered,
        not own_a and not own_b,
        _jaccard(a.content.keys(), b.content.keys()),
        _jaccard(a.pairs, b.pairs),
        _jaccard(a.stems, b.stems),
        in_place,
        min(reworded, _FEW),
        abs(length_a - length_b) / max(length_a, length_b),
        math.log(min(length_a, length_b)),
        math.log(max(length_a, length_b)),
    )
    close = max(len(own_a), len(own_b)) <= _FEW and (covered >= _CLOSE or in_place >= _AROUND)
    veto = None
    if script_conflict(a, b):
        veto = "script_conflict"
    elif (numbers_a and numbers_b) or (
        measures and (not dates_a ^ dates_b or (dates_a - dates_b and dates_b - dates_a))
    ):
        veto = "number_conflict"
    elif close and max(len(own_a), len(own_b)) <= 1 and ("not" in a.texts) != ("not" in b.texts):
        veto = "negation_conflict"
    elif close and clash:
        veto = "antonym_conflict"
    elif close and names_a and names_b:
        veto = "entity_conflict"
    elif _asks_more(place_a, place_b) or _asks_more(place_b, place_a):
        veto = "addition"
    elif close and turned:
        veto = "order_conflict"
    elif close and ((asks_a != asks_b and asks_a in _KINDS and asks_b in _KINDS) or _other_gender(a, b)):
        veto = "question_conflict"
    return Comparison(tuple(map(float, values)), veto)


def _match(a: Reading, b: Reading, own_a: set[str], own_b: set[str], lexis: Lexis) -> tuple[int, bool, int]:
    """Take words that stand for each other out of both sets; return siblings left, whether opposites met, words taken."""
    siblings, clash, taken = 0, False, 0
    for name in sorted(own_a):
        for other in sorted(own_b):
            likeness, kind = lexis.relation(a.content[name], b.content[other])
            if likeness >= SAME:
                own_a.discard(name)
                own_b.discard(other)
                taken += 1
                break
            siblings += kind == "sibling"
            clash = clash or kind == "opposite"
    return siblings, clash, taken


def _lacks_name(a: Reading, b: Reading, own: set[str]) -> bool:
    """Return whether `a` has a name that `b` lacks in any form."""
    return bool(a.names) and any(not name.isalpha() or stem(name) in own for name in missing_names(a, b))


def _asks_more(more: Sequence[Word], none: Sequence[Word]) -> bool:
    """Return whether one question is the other and a stretch that reads like a further request."""
    if none or len(more) < _REQUEST:
        return False
    return more[0].text in FURTHER or any(word.text in OVERRIDING for word in more)


def _other_gender(a: Reading, b: Reading) -> bool:
    of_a, of_b = genders(a), genders(b)
    return bool(of_a and of_b) and set(of_a) != set(of_b)


def _clash_in_place(place_a: Sequence[Word], place_b: Sequence[Word]) -> bool:
    """Return whether opposites, function words included, stand in the one place: opt in and opt out of it."""
    if max(len(place_a), len(place_b)) > _PLACE:
        return False
    stems_a, stems_b = {word.stem for word in place_a}, {word.stem for word in place_b}
    own_a, own_b = stems_a - stems_b, stems_b - stems_a
    return any(not own_b.isdisjoint(opposites(word)) for word in own_a) or any(
        not own_a.isdisjoint(opposites(word)) for word in own_b
    )


def _side(mine: Reading, own: set[str], other: Reading, own_other: set[str], lexis: Lexis) -> _Side:
    """Return how much of one side the other covers, the weightiest thing it does not, and the weight of all such."""
    total = lost = gap = 0.0
    for name, word in mine.content.items():
        weight = lexis.weight(word)
        total += weight
        if name not in own:
            continue
        best = 0.0
        for theirs, near in other.content.items():
            likeness = lexis.relation(word, near).likeness
            # a word that already has its match stands for this one less
            best = max(best, likeness if theirs in own_other else 0.7 * likeness)
        missing = weight * (1.0 - best)
        lost += missing
        gap = max(gap, missing)
    return _Side(1.0 - lost / total if total else 1.0, gap, lost)


def _asks(reading: Reading) -> str:
    """Return what is asked for: a question word, "how" and its measure, "yes" for yes or no, "" for no question."""
    words = reading.words
    for at, word in enumerate(words):
        kind = SUBJECTS.get(word.text)
        if kind is None:
            continue
        if kind == "how" and at + 1 < len(words):
            measure = f"how {words[at + 1].text}"
            return measure if measure in HOW_MUCH else kind
        return kind
    return "yes" if words and words[0].text in AUXILIARIES else ""


def _last(reading: Reading) -> str:
    return next((word.stem for word in reversed(reading.words) if word.content), "")


def _differing(a: Reading, b: Reading, words: AbstractSet[str]) -> int:
    return min(len((a.texts ^ b.texts) & words), 3)


def _jaccard(a: AbstractSet[object], b: AbstractSet[object]) -> float:
    both = len(a & b)
    either = len(a) + len(b) - both
    return both / either if either else 1.0
