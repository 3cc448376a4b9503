"""Fitting acceptance to labelled pairs: logistic regression with a ridge, and with signs that hold.

Newton's method on the penalised likelihood (iteratively reweighted least squares); a coefficient that comes out with the
wrong sign is set to 0 and the rest fitted again, until none is left. Deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import AdapterError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

KNOTS: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Cosines at which the slope may change."""

RIDGE: Final = 20.0
"""Penalty of a standardised coefficient, for weights that sum to a thousand."""

FEWEST: Final = 30
"""Pairs of each kind without which nothing is fitted."""

_TOTAL: Final = 1000.0
_STEPS: Final = 60
_TOLERANCE: Final = 1e-6
_STEEPEST: Final = 30.0


class FitError(AdapterError):
    """There is too little to fit on."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is fitted on: one item a pair in each.

    Attributes:
        cosines: of the questions.
        features: their numbers, in the order of the names.
        same: whether one answer serves both.
        weights: how much a pair counts; only their proportions matter.
    """

    cosines: Sequence[float]
    features: Sequence[Sequence[float]]
    same: Sequence[bool]
    weights: Sequence[float]

    def without(self, left_out: Sequence[bool]) -> Sample:
        """Return the sample without the marked pairs."""
        kept = [at for at, out in enumerate(left_out) if not out]
        return Sample(
            [self.cosines[at] for at in kept],
            [self.features[at] for at in kept],
            [self.same[at] for at in kept],
            [self.weights[at] for at in kept],
        )


@dataclass(frozen=True, slots=True)
class Fitted:
    """Log odds = bias + sum of slope * max(0, cosine - knot) + sum of weight * feature."""

    bias: float
    slopes: tuple[float, ...]
    weights: tuple[float, ...]


def fit(sample: Sample, signs: Sequence[int], *, ridge: float = RIDGE) -> Fitted:
    """Fit the coefficients.

    Args:
        signs: of each feature: 1 never negative, -1 never positive, 0 either. Slopes are never negative.

    Raises:
        FitError: there are fewer than `FEWEST` pairs of one kind.
        MissingExtraError: numpy is not installed.
    """
    if min(sum(sample.same), len(sample.same) - sum(sample.same)) < FEWEST:
        raise FitError(
            f"too few labelled pairs: at least {FEWEST} that share an answer and as many that don't are needed"
        )
    np = _numpy()
    cosines = np.asarray(sample.cosines, dtype=float)[:, None]
    raw = np.hstack([np.maximum(0.0, cosines - np.asarray(KNOTS)), np.asarray(sample.features, dtype=float)])
    same = np.asarray(sample.same, dtype=float)
    weights = np.asarray(sample.weights, dtype=float)
    weights = weights * (_TOTAL / weights.sum())
    centre, spread = raw.mean(axis=0), raw.std(axis=0)
    spread[spread == 0] = 1.0
    design = np.hstack([np.ones((len(same), 1)), (raw - centre) / spread])
    wanted = np.asarray([0, *([1] * len(KNOTS)), *signs])
    free = np.ones(len(wanted), dtype=bool)
    while True:
        full = np.zeros(len(wanted))
        full[free] = _newton(np, design[:, free], same, weights, ridge)
        wrong = full * wanted < 0
        if not wrong.any():
            break
        free &= ~wrong
    scaled = full[1:] / spread
    values: list[float] = scaled.tolist()
    return Fitted(
        bias=float(full[0] - (scaled * centre).sum()),
        slopes=tuple(values[: len(KNOTS)]),
        weights=tuple(values[len(KNOTS) :]),
    )


def _newton(np: Any, design: Any, same: Any, weights: Any, ridge: float) -> Any:
    found = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    for _ in range(_STEPS):
        sure = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -_STEEPEST, _STEEPEST)))
        slope = design.T @ (weights * (sure - same)) + penalty * found
        bend = (design * (weights * sure * (1.0 - sure))[:, None]).T @ design + np.diag(penalty + _TOLERANCE)
        step = np.linalg.solve(bend, slope)
        found -= step
        if np.abs(step).max() < _TOLERANCE:
            break
    return found


def odds(fitted: Fitted, cosine: float, features: Sequence[float]) -> float:
    """Return the log odds that a pair shares an answer."""
    bent = sum(slope * max(0.0, cosine - knot) for slope, knot in zip(fitted.slopes, KNOTS, strict=True))
    return fitted.bias + bent + sum(weight * value for weight, value in zip(fitted.weights, features, strict=True))


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise MissingExtraError("lab", module="numpy", extra="lab") from error
    return np
