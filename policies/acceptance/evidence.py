"""Lexical evidence that two questions, however near their vectors, must not share an answer.

Sentence embeddings place "enable" beside "disable" and 100 kPa beside 50 kPa; words don't. Each function
here looks at two readings and says whether one kind of conflict is there. All are symmetric, linear in the
length of the texts up to sorting, and none finds a conflict between a text and itself. The rules are for
English; words in a script other than Latin must be the same on both sides. Which rules pay, and what they
cost in true hits, was measured on labelled pairs (docs/benchmarks.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .relations import (
    ANTONYMS,
    ANY_QUESTION_WORDS,
    AUXILIARIES,
    GENDERS,
    POSSESSIVES,
    PREFIX_SWAPS,
    PREFIXES,
    QUESTION_WORDS,
    SYNONYMS,
)
from .words import Reading, Word, read, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_INTO: Final = frozenset({"to", "into", "onto", "towards"})
_DIRECTED: Final = _INTO | {"from"}
_SYMMETRIC: Final = frozenset({"and", "or"})
_LONGEST_SWAP: Final = 64
_SLOT: Final = 2


def conflict_of(left: str, right: str) -> str | None:
    """Return the label of the first conflict between two questions, None where there is none.

    Labels: script_conflict, number_conflict, negation_conflict, antonym_conflict, entity_conflict,
    order_conflict, substitution, addition.
    """
    a, b = read(left), read(right)
    return next((label for label, found in RULES if found(a, b)), None)


def script_conflict(a: Reading, b: Reading) -> bool:
    """Return whether words outside the Latin script differ: these rules cannot read them."""
    return a.foreign != b.foreign and Counter(a.foreign) != Counter(b.foreign)


def number_conflict(a: Reading, b: Reading) -> bool:
    """Return whether numbers, their units, dates or arithmetic signs differ.

    A number that only one side has counts; a spelled-out "one" doesn't (it stands for "a"). A unit or a
    sign counts where both sides have one: "5 + 3" and "5 plus 3" agree, "2 kg" and "2" may.
    """
    if Counter(a.dates) != Counter(b.dates) or own_values(a, b) or own_values(b, a):
        return True
    signs_a, signs_b = Counter(a.operators), Counter(b.operators)
    if signs_a - signs_b and signs_b - signs_a:
        return True
    units_a, units_b = _units(a), _units(b)
    return any(units_a[value].isdisjoint(units_b[value]) for value in units_a.keys() & units_b.keys())


def negation_conflict(a: Reading, b: Reading) -> bool:
    """Return whether the questions hold a different number of negations."""
    return _count(a, "not") != _count(b, "not")


def antonym_conflict(a: Reading, b: Reading) -> bool:
    """Return whether a word of one side has its opposite on the other: enable and disable, safe and unsafe."""
    own_a, own_b = _own_words(a, b)
    return any(not own_b.isdisjoint(opposites(word)) for word in own_a) or any(
        not own_a.isdisjoint(opposites(word)) for word in own_b
    )


def entity_conflict(a: Reading, b: Reading) -> bool:
    """Return whether each side has a name that the other lacks.

    A name is there in lower case, too, or as the initials of words that follow each other ("EU").
    """
    return any(missing_names(a, b)) and any(missing_names(b, a))


def order_conflict(a: Reading, b: Reading) -> bool:
    """Return whether the same words stand around the other way: USD to EUR and EUR to USD."""
    if not (_DIRECTED.isdisjoint(a.texts) or _DIRECTED.isdisjoint(b.texts)):
        from_a, to_a = _directions(a)
        from_b, to_b = _directions(b)
        if from_a & to_b or to_a & from_b:
            return True
    return _swapped(a, b)


def substitution(a: Reading, b: Reading) -> bool:
    """Return whether one thing was put in the place of another: the capital of france and of germany.

    That is so where exactly one content word differs, or up to two on each side in one place, and they are
    not near-synonyms; or where another question word, person or possessive is asked about.
    """
    if asks_otherwise(a, b) or genders(a) != genders(b):
        return True
    own_a, own_b = own_content(a, b)
    if len(own_a) == len(own_b) == 1:
        return True
    place_a, place_b = stripped(a.words, b.words)
    if len(place_a) == len(place_b) == 1 and {place_a[0].text, place_b[0].text} <= POSSESSIVES:
        return True
    return (
        len(place_a) < len(a.words)
        and 0 < len(own_a & content_of(place_a)) <= _SLOT
        and 0 < len(own_b & content_of(place_b)) <= _SLOT
    )


def addition(a: Reading, b: Reading) -> bool:
    """Return whether one question is the other with content put in at one place: symptoms of flu, … in babies."""
    place_a, place_b = stripped(a.words, b.words)
    own_a, own_b = own_content(a, b)
    return bool(content_of(place_a)) != bool(content_of(place_b)) and bool(own_a or own_b)


RULES: Final[tuple[tuple[str, Callable[[Reading, Reading], bool]], ...]] = (
    ("script_conflict", script_conflict),
    ("number_conflict", number_conflict),
    ("negation_conflict", negation_conflict),
    ("antonym_conflict", antonym_conflict),
    ("entity_conflict", entity_conflict),
    ("order_conflict", order_conflict),
    ("substitution", substitution),
    ("addition", addition),
)
"""Label and rule, in the order they are asked."""


def asks_otherwise(a: Reading, b: Reading) -> bool:
    """Return whether the question words differ: when and where, or why it is so and whether it is so."""
    asked_a, asked_b = a.texts & QUESTION_WORDS, b.texts & QUESTION_WORDS
    if asked_a and asked_b:
        return asked_a != asked_b
    return bool(asked_a and _wants_yes_or_no(b)) or bool(asked_b and _wants_yes_or_no(a))


def _wants_yes_or_no(reading: Reading) -> bool:
    first = next((word.text for word in reading.words), "")
    return first in AUXILIARIES and ANY_QUESTION_WORDS.isdisjoint(reading.texts)


def genders(reading: Reading) -> list[str]:
    """Return the genders of the persons it speaks of, in order."""
    return [GENDERS[word.text] for word in reading.words if word.text in GENDERS]


def own_values(a: Reading, b: Reading) -> bool:
    """Return whether `a` has a number that `b` lacks."""
    own = Counter(number.value for number in a.numbers)
    own.subtract(number.value for number in b.numbers)
    own.subtract(number.value for number in a.numbers if number.spelled and number.value == "1")
    return any(count > 0 for count in own.values())


def _units(reading: Reading) -> Mapping[str, set[str]]:
    units: defaultdict[str, set[str]] = defaultdict(set)
    for number in reading.numbers:
        if number.unit:
            units[number.value].add(number.unit)
    return units


def _count(reading: Reading, text: str) -> int:
    return sum(word.text == text for word in reading.words)


def content_of(words: Sequence[Word]) -> set[str]:
    """Return the stems of the words that carry meaning."""
    return {word.stem for word in words if word.content}


def _own_words(a: Reading, b: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """Return the stems that only one side has, function words included: in and out are opposites."""
    return a.stems - b.stems, b.stems - a.stems


def own_content(a: Reading, b: Reading) -> tuple[set[str], set[str]]:
    """Return the content stems that only one side has and for which the other has no near-synonym."""
    own_a, own_b = a.content.keys() - b.content.keys(), b.content.keys() - a.content.keys()
    if a.acronyms or b.acronyms:
        own_a, own_b = own_a - _spelled_out(b, a), own_b - _spelled_out(a, b)
    return (
        {word for word in own_a if own_b.isdisjoint(_NEAR.get(word, ()))},
        {word for word in own_b if own_a.isdisjoint(_NEAR.get(word, ()))},
    )


@lru_cache(maxsize=8192)
def opposites(word: str) -> frozenset[str]:
    """Return the stems that would be the opposite of a stem."""
    found = set(_OPPOSITE.get(word, ()))
    if len(word) > 3:  # noqa: PLR2004 - "even" is not the opposite of "ev"
        found.update(stem(prefix + word) for prefix in PREFIXES)
    for prefix, other in _SWAPS:
        if word.startswith(prefix) and len(word) > len(prefix) + 2:
            found.add(stem(other + word[len(prefix) :]))
    return frozenset(found)


def missing_names(a: Reading, b: Reading) -> Iterator[str]:
    """Yield the names of `a` that `b` lacks."""
    words = b.texts | b.stems
    same = _spelled_out(a, b) | _spelled_out(b, a)
    for name in a.names - b.names:
        there = (name in words or stem(name) in words) if name.isalpha() else name in b.text
        if not there and stem(name) not in same:
            yield name


def _spelled_out(a: Reading, b: Reading) -> set[str]:
    """Return the stems of acronyms of `a` that `b` spells out, and of the words it does so with: EU, European Union."""
    found: set[str] = set()
    if not a.acronyms:
        return found
    content = [word for word in b.words if word.content]
    initials = "".join(word.text[0] for word in content)
    for name in a.acronyms:
        at = initials.find(name)
        # two letters meet by chance: there the words must be names
        if at >= 0 and (len(name) > _SLOT or all(word.cased for word in content[at : at + len(name)])):
            found.update((stem(name), *(word.stem for word in content[at : at + len(name)])))
    return found


def _directions(reading: Reading) -> tuple[set[str], set[str]]:
    """Return the stems that something goes from and to; a stem that is both is neither."""
    sources: set[str] = set()
    goals: set[str] = set()
    words = reading.words
    for index, word in enumerate(words):
        if word.text != "from" and word.text not in _INTO:
            continue
        after = next((near.stem for near in words[index + 1 : index + 5] if near.content), None)
        if after is not None:
            (sources if word.text == "from" else goals).add(after)
        if word.text != "from" and index and words[index - 1].content:
            sources.add(words[index - 1].stem)
    return sources - goals, goals - sources


def stripped(a: Sequence[Word], b: Sequence[Word]) -> tuple[Sequence[Word], Sequence[Word]]:
    """Return what is left of both after the common beginning and the common end."""
    shorter = min(len(a), len(b))
    start = 0
    while start < shorter and a[start].stem == b[start].stem:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end].stem == b[-1 - end].stem:
        end += 1
    return a[start : len(a) - end], b[start : len(b) - end]


def _swapped(a: Reading, b: Reading) -> bool:
    """Return whether two stretches changed places around words that stayed: X beats Y, Y beats X.

    Stretches that merely change places ("for a train, how do I …") keep the meaning, and so do those around
    and, or.
    """
    left, right = ([word.stem for word in side] for side in stripped(a.words, b.words))
    size = len(left)
    if size != len(right) or not 3 <= size <= _LONGEST_SWAP:  # noqa: PLR2004 - one word, a pivot, one word
        return False
    heads = [cut for cut in range(1, size - 1) if left[:cut] == right[size - cut :]]
    tails = [cut for cut in range(1, size - 1) if left[size - cut :] == right[:cut]]
    return any(
        head + tail < size
        and left[head : size - tail] == right[tail : size - head]
        and not _SYMMETRIC.issuperset(left[head : size - tail])
        for head in heads
        for tail in tails
    )


def _related(groups: Sequence[Sequence[str]]) -> Mapping[str, frozenset[str]]:
    related: defaultdict[str, set[str]] = defaultdict(set)
    for group in groups:
        stems = {stem(word) for word in group}
        for one in stems:
            related[one] |= stems - {one}
    return {word: frozenset(others) for word, others in related.items()}


_OPPOSITE: Final = _related(ANTONYMS)
_NEAR: Final = _related(SYNONYMS)
_SWAPS: Final = (*PREFIX_SWAPS, *((other, prefix) for prefix, other in PREFIX_SWAPS))
