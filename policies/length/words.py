"""What is known of each word: its bucket, the lists it stands in, whether it is a number or a sign.

All of it is one integer a word, and those of late are kept: looking one up takes a tenth of finding it out.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKETS: Final = 4096
"""Weights that the words share; a power of two."""
BUCKET: Final = BUCKETS - 1
SIGN: Final = BUCKETS
NUMBER: Final = BUCKETS << 1
OTHER: Final = BUCKETS << 2
"""Bits of a word's integer: its bucket, which way it counts there, only digits, not only letters and digits."""
KEPT: Final = 16_384
"""Words that are kept, 2 MB of them."""
_LONGEST: Final = 24

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

_BITS: Final = tuple(BUCKETS << 3 + at for at in range(len(FAMILIES)))
_LISTED: Final[Mapping[str, int]] = {
    word: bit for bit, (_, words) in zip(_BITS, FAMILIES.values(), strict=True) for word in words
}


class Codes(dict[str, int]):
    """The integer of each word."""

    def __missing__(self, word: str) -> int:
        """Find it out, and keep it for words of a usual length."""
        hashed = zlib.crc32(word.encode("utf-8", "replace"))
        code = hashed % BUCKETS | (SIGN if hashed >> 31 else 0) | _LISTED.get(word, 0)
        code |= (NUMBER if word.isdecimal() else 0) | (0 if word.isalnum() else OTHER)
        if len(word) <= _LONGEST:
            if len(self) >= KEPT:
                self.clear()
            self[word] = code
        return code


CODES: Final = Codes()


def families_of(there: int) -> list[float]:
    """Return 1 for each family of `FAMILIES` of which a word is there, else 0; `there` has the bits of all words."""
    return [1.0 if there & bit else 0.0 for bit in _BITS]
