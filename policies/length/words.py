"""Lists of words that say how long an answer will be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUCKETS: Final = 4096
"""Weights that all words share; a power of two."""
BUCKET: Final = BUCKETS - 1

FAMILIES: Final[Mapping[str, tuple[float, frozenset[str]]]] = {
    name: (weight, frozenset(words.split()))
    for name, weight, words in (
        (
            "long",
            0.5,
            (
                "essay article story blog report poem speech letter guide tutorial plan proposal paper chapter script novel"
                " review lesson course itinerary"
            ),
        ),
        ("make", 0.2, "write compose draft generate create make design develop build produce give provide"),
        (
            "list",
            0.2,
            "list ideas examples top ways steps options recommend suggest tips reasons suggestions recommendations",
        ),
        (
            "explain",
            0.2,
            (
                "explain describe discuss why how detail detailed details comprehensive analyze analyse compare evaluate"
                " elaborate difference differences"
            ),
        ),
        ("brief", -0.5, "brief briefly short concise only just single summarize summarise summary tldr quick"),
        (
            "edit",
            -0.4,
            (
                "translate classify rewrite rephrase correct edit extract identify fix convert paraphrase proofread replace"
                " sentiment categorize"
            ),
        ),
    )
}
"""Word lists, each with a rule of thumb: by how much the logarithm of the length differs where one of the words is there."""

_AT: Final[Mapping[bytes, int]] = {
    word.encode(): at for at, (_, words) in enumerate(FAMILIES.values()) for word in words
}
_LISTED: Final = frozenset(_AT)


def families_of(words: Iterable[bytes]) -> list[float]:
    """Return 1 for each family of `FAMILIES` of which a word is there, else 0."""
    there = [0.0] * len(FAMILIES)
    for word in _LISTED.intersection(words):
        there[_AT[word]] = 1.0
    return there
