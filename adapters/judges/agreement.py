"""The judge `agreement`: how near the answers' meanings are, unless their numbers, names or negations conflict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING, Final

from ...middleware.records import Judgement
from .plain import plain
from .words import difference, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.protocols import Embedder
    from ...middleware.records import AnswerPair, Vector
    from .plain import Plain
    from .words import Difference

SAME_AT: Final = 0.90
DIFFERENT_AT: Final = 0.25
CONFLICT_AT: Final = 0.60
MOST_PIECES: Final = 32
PIECE_BYTES: Final = 500
"""Of UTF-8: about 120 tokens of English, and up to 250 of what the default embedder's vocabulary does not know. It reads 256."""
FOREIGN: Final = 0.2
"""Share of letters beyond Latin from which words and cosines of an English model mean little."""
_LATIN_END: Final = 0x24F
_SLACK: Final = 0.15
"""How far below the cut for the mean a single piece may be."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Two answers, piece by piece.

    Attributes:
        score: mean cosine of each piece with its best counterpart, weighted by length; the lower of both directions.
        worst: cosine of the piece that has the least of a counterpart.
        in_order: counterparts stand in the same order.
        pairs: (kept, fresh) pieces that belong together.
    """

    score: float
    worst: float
    in_order: bool
    pairs: tuple[tuple[int, int], ...]


class AgreementJudge:
    """Embeds both answers and compares them.

    An answer is read sentence by sentence, long ones in larger pieces, so that nothing falls behind what the embedder
    reads; answers of more than `MOST_PIECES` pieces are not judged. "Same" needs nearness and no sign of a difference,
    "different" a conflict between answers to the same matter, or no nearness at all.

    Args:
        embedder: started by whoever made it.
        same_at: cosine from which answers without a sign of a difference are the same.
        different_at: cosine up to which answers are different.
    """

    def __init__(self, embedder: Embedder, *, same_at: float = SAME_AT, different_at: float = DIFFERENT_AT) -> None:
        if not different_at < same_at:
            raise ValueError("different_at must be below same_at")
        self._embedder = embedder
        self._same_at = same_at
        self._different_at = different_at

    async def compare(self, pair: AnswerPair) -> Judgement:
        """Return the judgement.

        Raises:
            EmbedderError: the model failed.
        """
        kept, fresh = plain(pair.kept), plain(pair.fresh)
        if not kept.sentences or not fresh.sentences:
            return Judgement(None, "no_words")
        left, right = pieces(kept.sentences), pieces(fresh.sentences)
        if left is None or right is None:
            return Judgement(None, "too_long")
        whole = [kept.prose, fresh.prose] if max(_size(kept.prose), _size(fresh.prose)) <= PIECE_BYTES else []
        vectors = await self._embedder.embed([*left, *right, *whole])
        found = await align(
            vectors[: len(left)],
            vectors[len(left) : len(left) + len(right)],
            list(map(len, left)),
            list(map(len, right)),
        )
        if whole:
            found = replace(found, score=max(found.score, cosine(vectors[-2], vectors[-1])))
        return self._decided(kept, fresh, left, right, found)

    def _decided(
        self, kept: Plain, fresh: Plain, left: Sequence[str], right: Sequence[str], found: Aligned
    ) -> Judgement:
        whole = difference(read(kept.sentences), read(fresh.sentences))
        if whole.conflict:
            return Judgement(False if found.score >= CONFLICT_AT else None, whole.conflict)
        if _foreign(kept.prose) or _foreign(fresh.prose):
            return Judgement(None, "other_script")
        if found.score <= self._different_at:
            within = _is_part(kept, fresh) or _is_part(fresh, kept)
            return Judgement(None, "one_in_the_other") if within else Judgement(False, "far")
        if found.score < self._same_at:
            return Judgement(None, "between")
        if not kept.codes_alike(fresh):
            return Judgement(None, "code_differs")
        if found.worst < self._same_at - _SLACK or not found.in_order:
            return Judgement(None, "piece_missing" if found.in_order else "other_order")
        apart = [whole, *(_apart(left[one], right[other]) for one, other in found.pairs)]
        conflict = next((one.conflict for one in apart if one.conflict), "")
        if conflict:
            return Judgement(False, conflict)
        doubt = next((one.doubt for one in apart if one.doubt), "")
        return Judgement(None, doubt) if doubt else Judgement(True, "near")


def pieces(sentences: Sequence[str]) -> list[str] | None:
    """Return the pieces to embed, None where there would be too many.

    A sentence is a piece; of many, neighbours are joined; one that is too long for the embedder is cut between words.
    """
    cut = [part for sentence in sentences for part in _cut(sentence)]
    if len(cut) > MOST_PIECES:
        joined = cut[:1]
        for part in cut[1:]:
            if _size(joined[-1]) + _size(part) < PIECE_BYTES:
                joined[-1] = f"{joined[-1]} {part}"
            else:
                joined.append(part)
        cut = joined
    return cut if len(cut) <= MOST_PIECES else None


async def align(
    left: Sequence[Vector], right: Sequence[Vector], left_sizes: Sequence[int], right_sizes: Sequence[int]
) -> Aligned:
    """Match unit vectors of pieces: greedily one to one for the pairs, each with its best for the score."""
    rows: list[list[float]] = []
    for vector in left:
        rows.append([cosine(vector, its) for its in right])
        await asyncio.sleep(0)  # a row of 32 pieces takes about a millisecond
    best_left = [max(row) for row in rows]
    best_right = [max(column) for column in zip(*rows, strict=True)]
    order = sorted((-rows[one][other], one, other) for one in range(len(left)) for other in range(len(right)))
    pairs: list[tuple[int, int]] = []
    for _, one, other in order:
        if all(one != taken and other != used for taken, used in pairs):
            pairs.append((one, other))
    pairs.sort()
    return Aligned(
        score=min(_mean(best_left, left_sizes), _mean(best_right, right_sizes)),
        worst=min(*best_left, *best_right),
        in_order=all(one[1] < other[1] for one, other in pairwise(pairs)),
        pairs=tuple(pairs),
    )


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine of two unit vectors."""
    return float(sum(map(mul, one, other)))


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(sum(map(mul, values, weights))) / sum(weights)


def _cut(sentence: str) -> list[str]:
    if _size(sentence) <= PIECE_BYTES:
        return [sentence]
    longest = PIECE_BYTES // 4  # characters; none takes more than four bytes
    words = [word[at : at + longest] for word in sentence.split() for at in range(0, len(word), longest)]
    parts = [""]
    size = 0
    for word in words:
        size += _size(word) + 1
        if parts[-1] and size > PIECE_BYTES:
            parts.append("")
            size = _size(word) + 1
        parts[-1] = f"{parts[-1]} {word}".lstrip()
    return parts


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _foreign(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return sum(ord(char) > _LATIN_END for char in letters) > FOREIGN * len(letters)


def _is_part(one: Plain, other: Plain) -> bool:
    """Return whether all that a text says stands in the other, word for word."""
    return set(read(one.sentences).stems) <= set(read(other.sentences).stems)


def _apart(kept: str, fresh: str) -> Difference:
    return difference(read([kept]), read([fresh]))
