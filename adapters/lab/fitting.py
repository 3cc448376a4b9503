"""``forebay lab acceptance --fit``: a model for the operator's own traffic."""

from __future__ import annotations

from math import ceil, exp
from typing import TYPE_CHECKING, Final

from .fit import KNOTS, Sample, fit, odds
from .metrics import auc, curve, tpr_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.protocols import Acceptance
    from ...middleware.records import JsonObject
    from .judging import Case
    from .tools import Evidence

FOLDS: Final = 5
MOST_WRONG: Final = 0.01
"""False-hit rate, out of the fold, that the cut allows."""

VETOED: Final = 0.1
_HIGHEST: Final = 0.99


def fit_model(
    cases: Sequence[Case], evidence: Evidence, embedder: str, *, made: str
) -> tuple[JsonObject, Acceptance, list[float]]:
    """Fit a model to labelled pairs.

    Returns:
        The file's content, the policy it makes, and each pair's confidence by a model that was fitted without it.

    Raises:
        FitError: there are too few pairs of one kind.
    """
    usable = [case for case in cases if case.comparable]
    compared = [evidence.compare(case.asked.key.text, case.candidate.entry.question) for case in usable]
    same = [case.pair.same for case in usable]
    sample = Sample(
        cosines=[case.candidate.similarity for case in usable],
        features=[values for values, _ in compared],
        same=same,
        weights=[1.0] * len(usable),
    )
    fitted = fit(sample, evidence.signs)
    folds = _folds(usable)
    sure = [0.0] * len(usable)
    for fold in range(FOLDS):
        without = fit(sample.without([one == fold for one in folds]), evidence.signs)
        for at, one in enumerate(folds):
            if one == fold:
                likely = 1.0 / (1.0 + exp(-odds(without, sample.cosines[at], sample.features[at])))
                sure[at] = likely * (1.0 if compared[at][1] is None else VETOED)
    content, policy = evidence.model(
        embedder=embedder,
        bias=fitted.bias,
        knots=KNOTS,
        slopes=fitted.slopes,
        weights=fitted.weights,
        cut=cut_of(sure, same, MOST_WRONG),
        vetoed=VETOED,
    )
    about = {
        "made": made,
        "by": "forebay lab acceptance --fit",
        "pairs": len(usable),
        "positives": sum(same),
        "out_of_fold": {
            "auc": auc(sure, same),
            "tpr_at_fpr_02": tpr_at(sure, same, 0.02),
            "tpr_at_fpr_05": tpr_at(sure, same, 0.05),
        },
    }
    return {**content, "about": about}, policy, sure


def cut_of(sure: Sequence[float], same: Sequence[bool], most: float) -> float:
    """Return the lowest confidence, in hundredths, from which at most this share of the false pairs passes."""
    points = curve(sure, same)
    allowed = most * points[-1].wrong
    lowest = min((point.score for point in points if point.wrong <= allowed), default=_HIGHEST)
    return max(0.05, min(_HIGHEST, ceil(lowest * 100) / 100))


def _folds(cases: Sequence[Case]) -> list[int]:
    """Return each pair's fold: those that share a question are in one, or a model would be tested on what it has seen."""
    root: dict[str, str] = {}

    def find(text: str) -> str:
        while root.setdefault(text, text) != text:
            root[text] = text = root[root[text]]
        return text

    for case in cases:
        root[find(case.asked.key.text)] = find(case.candidate.entry.question)
    order: dict[str, int] = {}
    return [order.setdefault(find(case.asked.key.text), len(order)) % FOLDS for case in cases]
