"""Finds the constant part of recurring prompts, online and in bounded memory.

The words of a text are looked at from its beginning, at every length up to 16 words and at a ladder of lengths beyond, and from
its end in the same way. How often each beginning was seen, in different prompts, is counted. A longer beginning belongs to
the constant part where it was seen at least three times, and in a larger share of the prompts with the shorter one than
chance explains: 0.4 for each further word, which the likeliest next word seldom gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from zlib import crc32

from .prompt import Words
from .table import AgeingCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

LADDER: Final = (
    *range(1, 17),
    20,
    24,
    28,
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
)
END_LADDER: Final = LADDER[:27]
AHEAD: Final = 8
"""So many beginnings are noted behind the last that was seen before; the next prompt goes on from there."""
MIN_SEEN: Final = 3
MIN_WORDS: Final = 4
"""A constant part of fewer words is how people begin to write, not a template."""
CHANCE: Final = 0.4
NODES: Final = 24_576
SEEN: Final = 8_192
_GROUP_WORDS: Final = 8
_ALL: Final = 1 << 20
_MASK: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Found:
    """What `Templates.find` found.

    Attributes:
        name: of the template, "" for none.
        constant: share of the prompt's words that are constant.
        fresh: the prompt was not seen before.
    """

    name: str
    constant: float
    fresh: bool


class Templates:
    """Finds the template of a prompt; see the module.

    Bounds: 49,152 counts and 16,384 prompts that are remembered as counted.
    """

    def __init__(self) -> None:
        self.counts = AgeingCounts(NODES)
        self.seen = AgeingCounts(SEEN)

    def find(self, seed: bytes, system: bytes, asked: bytes) -> Found:
        """Return what is constant in a prompt, after counting it where it was not seen before.

        Args:
            seed: a digest that differs where prompts must not be compared (tenants, models); at most 64 bytes.
            system: its system text.
            asked: its last user turn.
        """
        about = constant = 0
        group = int.from_bytes(seed[:4], "little")
        beginning = Words(system) if system else None
        if beginning is not None:
            group = _digest(seed, b"group", b" ".join(beginning.known[:_GROUP_WORDS]))
        whole = group << 32 | crc32(asked, crc32(system))
        fresh = self.seen.add(whole) == 1

        if beginning is not None:
            base = _digest(seed, b"system")
            about, constant = self._constant(base, beginning, LADDER, fresh=fresh, whole=True)
        words = Words(asked)
        begins, first = self._constant(group, words, LADDER, fresh=fresh)
        ends, last = self._constant(group ^ _MASK, Words(asked, last=True), END_LADDER, fresh=fresh)
        if constant + first + last < MIN_WORDS:
            return Found("", 0.0, fresh)
        length = words.number()
        both = min(first + last, length)
        if constant + both < MIN_WORDS:
            return Found("", 0.0, fresh)
        parts = b"%d %d %d %d" % (group if both else 0, about, begins, ends)
        name = blake2b(parts, key=seed, digest_size=8).hexdigest()
        length += beginning.number() if beginning is not None else 0
        return Found(name, min(1.0, (constant + both) / max(1, length)), fresh)

    def _constant(
        self, group: int, words: Words, ladder: Sequence[int], *, fresh: bool, whole: bool = False
    ) -> tuple[int, int]:
        """Return the checksum and the number of the first words that are constant; (0, 0) for none.

        Args:
            whole: look at all words together, too: two system texts may differ in their last one.
        """
        count_of = self.counts.add if fresh else self.counts.get
        base = group << 32
        shorter = count_of(base)
        checksum = at = constant = result = 0
        new: list[int] = []
        known = words.known
        for rung in (*ladder, _ALL) if whole else ladder:
            length = rung
            if length > len(known):
                known = words.more()
                if length > len(known):
                    if not whole or at == len(known):
                        break
                    length = len(known)
            piece = known[at] if length == at + 1 else b" ".join(known[at:length])
            # with the length: words that run together are others
            checksum = crc32(piece, checksum ^ length)
            at = length
            key = base | checksum
            if not new:
                count = count_of(key)
                if count >= MIN_SEEN:
                    if (count - 1) / (shorter + 2) >= CHANCE ** (length - constant):
                        result, constant, shorter = checksum, length, count
                    continue
                if count > 1:
                    continue
                if not fresh:
                    break
            # a beginning nobody had before has only new ones behind it
            new.append(key)
            if len(new) == AHEAD:
                break
        self.counts.begin(new)
        return result, constant


def _digest(seed: bytes, *fields: bytes) -> int:
    return int.from_bytes(blake2b(b"\x1f".join(fields), key=seed, digest_size=4).digest(), "little")
