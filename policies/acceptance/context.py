"""Lexical evidence that two readings of earlier turns, however near, must not share an answer.

Equal conversations are worded differently each time, so most words may differ. What may not: the numbers, dates and
names that the user gave, what was offered, what the conversation opened with, the answers to the same questions, and any
sentence that is the other's but for one thing. Turns that only one side has are taken for side talk where they are
questions or state nothing. In doubt there is a conflict. Every rule is symmetric. The rules are for English.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from .evidence import antonym_conflict, negation_conflict, order_conflict
from .relations import SYNONYMS
from .statements import Context, Said, Statement, alike, around, context_of, facts_of, lacking, statement, stems_of
from .words import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

LEAST_SIMILARITY: Final = 0.6
"""Cosine of the readings' MiniLM vectors below which they are about different things, whatever their words."""

MAX_SENTENCES: Final = 300
"""Of one reading; longer ones are not compared, as each sentence is compared with each."""

_ALIKE: Final = 0.5
"""Dice's coefficient from which two sentences say the same or are one another's swap."""

_NEARLY_EQUAL: Final = 0.75
"""From which they are the same but for a word or a negation."""

_SAME_QUESTION: Final = 0.6
"""From which the assistant asked the same."""

_COVERED: Final = 0.5
"""Share of a sentence's or an answer's content words that the other conversation must have."""

_CONTAINED: Final = 0.6
"""Share of the content words of one user, whichever has fewer of their own, that the other user must have said."""

_OPENING: Final = 0.5
"""Overlap of the content words of the openings."""

_OPENING_SENTENCES: Final = 2
_FOREIGN: Final = 3
"""Content words that make of a sentence its counterpart's swap, where the other side lacks them; with more it is another."""

_SLOT: Final = 3
"""Words in one place by which two sentences may differ and still be each other's swap."""

_NEGATED: Final = 3
"""Words by which a sentence and its negation may differ in length."""

_GROUPS: Final = tuple(frozenset(map(stem, group)) for group in SYNONYMS)
_NEAR: Final[Mapping[str, frozenset[str]]] = {
    word: frozenset[str]().union(*(group for group in _GROUPS if word in group)) - {word}
    for word in frozenset[str]().union(*_GROUPS)
}


def context_conflict(asked_reading: str, kept_reading: str, similarity: float) -> str | None:
    """Return the label of the first conflict, None where the same question has the same answer in both readings.

    Args:
        similarity: cosine of the readings' vectors, in [-1, 1].

    Labels: context_far, context_long, context_script, context_offer, context_opening, context_fact, context_detail,
    context_subject, context_answer. Equal readings never conflict.
    """
    if asked_reading == kept_reading:
        return None
    if not similarity >= LEAST_SIMILARITY:  # "not >=" refuses NaN
        return "context_far"
    a, b = context_of(asked_reading), context_of(kept_reading)
    if max(a.sentences, b.sentences) > MAX_SENTENCES:
        return "context_long"
    if a.foreign != b.foreign:
        return "context_script"
    if _offers_differ(a.offer, b.offer):
        return "context_offer"
    opening_a, opening_b = a.user[:_OPENING_SENTENCES], b.user[:_OPENING_SENTENCES]
    if opening_a != opening_b and _overlap(_read(opening_a), _read(opening_b)) < _OPENING:
        return "context_opening"
    own_a, own_b = _own(a.user, b.user), _own(b.user, a.user)
    if _facts_differ(own_a, own_b, a, b):
        return "context_fact"
    if _details_differ(own_a, own_b, a, b) or _replies_differ(own_a, own_b):
        return "context_detail"
    if max(_covered(own_a, b.told), _covered(own_b, a.told)) < _CONTAINED:
        return "context_subject"
    if _adds(own_a, own_b, b) or _adds(own_b, own_a, a):
        return "context_subject"
    return "context_answer" if _answers_differ(a, b) else None


def _offers_differ(offer_a: Sequence[Said], offer_b: Sequence[Said]) -> bool:
    """Return whether what the question replies to differs: other facts, other words, or the options in another order.

    Each side having a word of its own is enough: "Shall I cancel it?" and "Shall I move it?" are alike but for that.
    """
    if offer_a == offer_b:
        return False
    a, b = _read(offer_a), _read(offer_b)
    if not a or not b or facts_of(a) != facts_of(b) or _order(a, b) != _order(b, a):
        return True
    own_a, own_b = _own(offer_a, offer_b), _own(offer_b, offer_a)
    words_a, words_b = stems_of(own_a), stems_of(own_b)
    return (
        bool(words_a - words_b and words_b - words_a)
        or bool(a[-1].stems - b[-1].stems and b[-1].stems - a[-1].stems)
        or min(_covered(a, stems_of(b)), _covered(b, stems_of(a))) < _COVERED
        or any(_contrary(one, other) for one in own_a for other in own_b)
    )


def _facts_differ(own_a: Sequence[Statement], own_b: Sequence[Statement], a: Context, b: Context) -> bool:
    """Return whether the user gave facts that the other lacks: both sides, or one and not in a question further on."""
    only_a = [one for one in own_a if lacking(one, b)]
    only_b = [one for one in own_b if lacking(one, a)]
    if only_a and only_b:
        return True
    openings = _read((*a.user[:1], *b.user[:1]))
    return any(not one.asks or one in openings for one in (*only_a, *only_b))


def _details_differ(own_a: Sequence[Statement], own_b: Sequence[Statement], a: Context, b: Context) -> bool:
    """Return whether a sentence of one side is one of the other's but for one thing, or for a few words foreign to it.

    The openings are compared with each other, however little alike they are.
    """
    first_a, first_b = _read(a.user[:1]), _read(b.user[:1])
    for one in own_a:
        for other in own_b:
            near = alike(one, other) >= _ALIKE
            if near and _is_swap(one, other):
                return True
            if (near or (one in first_a and other in first_b)) and (
                0 < len(_foreign(one, around(other, b))) <= _FOREIGN
                and 0 < len(_foreign(other, around(one, a))) <= _FOREIGN
            ):
                return True
    return False


def _replies_differ(own_a: Sequence[Statement], own_b: Sequence[Statement]) -> bool:
    """Return whether the same question of the assistant was answered otherwise: yes and no, or with no word in common."""
    return any(
        (one.sign != other.sign and one.sign + other.sign <= 0)
        or bool(one.stems and other.stems and not one.stems & other.stems)
        for one in own_a
        for other in own_b
        if _reply_alike(one, other)
    )


def _reply_alike(a: Statement, b: Statement) -> bool:
    """Return whether two statements reply to the same question."""
    shared = 2 * len(a.after & b.after)
    return not a.asks and not b.asks and 0 < _SAME_QUESTION * (len(a.after) + len(b.after)) <= shared


def _adds(own: Sequence[Statement], others: Sequence[Statement], other: Context) -> bool:
    """Return whether one side states something about the speaker or the subject of which the other says nothing.

    A reply says what the other's reply to the same question says.
    """
    return any(
        one.tells and not one.asks and _covered([one], other.forms) < _COVERED
        for one in own
        if not any(_reply_alike(one, reply) for reply in others)
    )


def _answers_differ(a: Context, b: Context) -> bool:
    """Return whether the assistant said something else: other facts on both sides, a swap, or about another thing."""
    own_a, own_b = _own(a.assistant, b.assistant), _own(b.assistant, a.assistant)
    if any(lacking(one, b) for one in own_a) and any(lacking(one, a) for one in own_b):
        return True
    if max(_covered(own_a, b.answered), _covered(own_b, a.answered)) < _COVERED:
        return True
    return any(alike(one, other) >= _ALIKE and _is_swap(one, other) for one in own_a for other in own_b)


def _is_swap(a: Statement, b: Statement) -> bool:
    """Return whether two sentences that are alike differ in what matters: facts, polarity, or one place."""
    return bool(a.facts - b.facts and b.facts - a.facts) or _contrary(a, b) or _swapped(a, b)


def _contrary(a: Statement, b: Statement) -> bool:
    """Return whether two sentences that are alike say the contrary, or the same about swapped things."""
    if antonym_conflict(a.words, b.words) or order_conflict(a.words, b.words) or _off(a) != _off(b):
        return True
    same_frame = alike(a, b) >= _NEARLY_EQUAL and abs(len(a.words.words) - len(b.words.words)) <= _NEGATED
    return same_frame and negation_conflict(a.words, b.words)


def _off(one: Statement) -> bool:
    return any(word.text == "off" for word in one.words.words)


def _swapped(a: Statement, b: Statement) -> bool:
    """Return whether two sentences are the same but for up to three words in one place, on each side."""
    left, right = ([word.stem for word in one.words.words] for one in (a, b))
    shorter = min(len(left), len(right))
    start = next((at for at in range(shorter) if left[at] != right[at]), shorter)
    end = next((at for at in range(shorter - start) if left[-1 - at] != right[-1 - at]), shorter - start)
    slot_a, slot_b = set(left[start : len(left) - end]), set(right[start : len(right) - end])
    telling = (slot_a & _telling(a)) - slot_b and (slot_b & _telling(b)) - slot_a
    return bool(telling) and max(len(slot_a), len(slot_b)) <= _SLOT


def _telling(one: Statement) -> frozenset[str]:
    return one.stems.union(number.value for number in one.words.numbers)


def _foreign(one: Statement, there: AbstractSet[str]) -> set[str]:
    """Return the content words and numbers that are not there, nor a near-synonym of them."""
    return {word for word in _telling(one) - there if there.isdisjoint(_NEAR.get(word, ()))}


def _read(sentences: Iterable[Said]) -> list[Statement]:
    return [statement(said) for said in sentences]


def _own(a: Iterable[Said], b: Iterable[Said]) -> list[Statement]:
    """Return the statements of one side that the other lacks."""
    others = Counter(said.text.lower() for said in b)
    own: list[Said] = []
    for said in a:
        text = said.text.lower()
        if others[text]:
            others[text] -= 1
        else:
            own.append(said)
    return _read(own)


def _covered(own: Sequence[Statement], there: AbstractSet[str]) -> float:
    """Return which share of the content words is there, 1 where there are none."""
    stems = stems_of(own)
    return len(stems & there) / len(stems) if stems else 1.0


def _overlap(a: Sequence[Statement], b: Sequence[Statement]) -> float:
    """Return the overlap coefficient of the content words, Jaccard's where a side has but one, 0 where it has none."""
    stems_a, stems_b = stems_of(a), stems_of(b)
    shorter, longer = sorted((len(stems_a), len(stems_b)))
    shared = len(stems_a & stems_b)
    if shorter > 1:
        return shared / shorter
    return shared / longer if shorter else 0.0


def _order(a: Sequence[Statement], b: Sequence[Statement]) -> list[str]:
    """Return the content words that both have, in the order of the first."""
    there = stems_of(b)
    return list(dict.fromkeys(word.stem for one in a for word in one.words.words if word.stem in there))
