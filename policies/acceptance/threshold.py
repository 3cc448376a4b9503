"""Accept a candidate whose vector is near enough and whose words do not speak against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...middleware.records import Verdict
from .context import context_conflict
from .evidence import conflict_of

if TYPE_CHECKING:
    from ...middleware.records import Asked, Candidate

DEFAULT_THRESHOLD: Final = 0.88
"""For MiniLM. With the evidence it serves 0.50 of the true pairs and none of the 148 traps of fow-cache's development set
(cosine alone: 0.57 and 0.30), and 0.30 and 0.03 of Quora's duplicates and non-duplicates (cosine alone: 0.49 and 0.08). The
first are optimistic: the word lists were written by people who knew that set."""


class ThresholdAcceptance:
    """Cosine at or above a threshold, and no lexical conflict.

    A conflict refuses at any similarity. The reason of a verdict is ``accepted``, ``below_threshold`` (also for a
    similarity that is not a number) or a label of `evidence.conflict_of`.

    Args:
        threshold: lowest cosine similarity to accept, in [-1, 1]; it belongs to one embedder.
    """

    def __init__(self, *, threshold: float = DEFAULT_THRESHOLD) -> None:
        self._threshold = threshold

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the verdict; its confidence is the similarity where accepted, clamped to [0, 1], else 0."""
        similarity = candidate.similarity
        if not similarity >= self._threshold:  # "not >=" refuses NaN, which "<" would let through
            return Verdict(accepted=False, confidence=0.0, reason="below_threshold")
        entry = candidate.entry
        conflict = context_conflict(asked.key.reading, entry.reading, candidate.context_similarity) or conflict_of(
            asked.key.text, entry.question
        )
        if conflict is not None:
            return Verdict(accepted=False, confidence=0.0, reason=conflict)
        return Verdict(accepted=True, confidence=min(max(similarity, 0.0), 1.0), reason="accepted")
