"""Accept a candidate by the probability that its answer would do, from its vector and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...middleware.records import Verdict
from .context import context_conflict
from .features import compare
from .words import read

if TYPE_CHECKING:
    from ...middleware.records import Asked, Candidate
    from .lexis import Lexis
    from .model import AcceptanceModel

NOT_SURE: Final = "below_threshold"


class CalibratedAcceptance:
    """The probability that two answers are interchangeable is at or above a cut, and nothing speaks against it.

    A veto of `features.compare`, or a conflict of the contexts, refuses at any probability, and keeps only a small part of it as
    confidence. The reason of a verdict is ``accepted``, ``below_threshold``, or the label of the veto.

    Args:
        model: coefficients for the embedder whose cosines the candidates have.
        lexis: words of the language the questions are in.
        cut: lowest confidence to accept, in (0, 1]; the model's own where None.
    """

    def __init__(self, model: AcceptanceModel, lexis: Lexis, *, cut: float | None = None) -> None:
        self._model = model
        self._lexis = lexis
        self._cut = model.cut if cut is None else cut

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the verdict."""
        entry, similarity = candidate.entry, candidate.similarity
        if not similarity > -1.0:  # NaN, too
            return Verdict(accepted=False, confidence=0.0, reason=NOT_SURE)
        values, veto = compare(read(asked.key.text), read(entry.question), self._lexis)
        veto = context_conflict(asked.key.reading, entry.reading, candidate.context_similarity) or veto
        confidence = self._model.confidence(min(similarity, 1.0), values, vetoed=veto is not None)
        if veto is not None:
            return Verdict(accepted=False, confidence=confidence, reason=veto)
        sure = confidence >= self._cut
        return Verdict(accepted=sure, confidence=confidence, reason="accepted" if sure else NOT_SURE)
