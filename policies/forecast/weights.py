"""How much each forecaster of a bank is listened to: the convex mixture that would have erred least of late.

The mixture's squared error is w'Cw, where C holds the discounted products of the forecasters' errors (Bates and Granger,
"The combination of forecasts", 1969). It is minimised over w >= 0, sum w = 1, by moving weight from the worst direction to
the best one a few times a step (pairwise Frank-Wolfe, Lacoste-Julien and Jaggi 2015), from where it was before.

C starts from a belief worth one bin: every forecaster but the first errs much more than the first. So the first is followed
until there is evidence. Evidence is counted in effective bins, (sum e^2)^2 / sum e^4, so that one burst is one piece of
evidence however large it is and silence is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from .arrays import Floats

MEMORY: Final = 0.998  # a bin's weight falls by this with each later one: half in 350 bins
DOUBT: Final = 9.5  # believed squared error of the others, the first's being 1
AGREEMENT: Final = 0.9  # believed product of two forecasters' errors
OUTLIER: Final = 3.0  # errors beyond so many times the usual one count less: linearly, not squared
MOVES: Final = 1
_TINY: Final = 1e-12


def belief(members: int) -> Floats:
    """Return what is believed of the products of errors before anything was seen, in units of the first's square."""
    made = np.full((members, members), AGREEMENT)
    np.fill_diagonal(made, DOUBT)
    made[0, 0] = 1.0
    return made


def believed_weights(members: int) -> Floats:
    """Return the weights that the belief alone leads to."""
    start = np.zeros((1, members))
    start[0, 0] = 1.0
    weights: Floats = improve(belief(members)[None], start, moves=20 * members)[0]
    return weights


def soften(errors: Floats, usual: Floats) -> Floats:
    """Return the errors of shape (…, members), those of a bin that is beyond all custom made smaller together."""
    largest = np.maximum(np.abs(errors).max(axis=-1), _TINY)
    factor = np.sqrt(np.minimum(1.0, OUTLIER * np.maximum(usual, 1.0) / largest))
    softened: Floats = errors * factor[..., None]
    return softened


def improve(products: Floats, weights: Floats, *, moves: int = MOVES) -> Floats:
    """Return weights nearer to the best ones.

    Args:
        products: of errors, shape (rows, members, members).
        weights: shape (rows, members), each row on the simplex.
        moves: how many times weight is moved.
    """
    rows = np.arange(len(weights))
    weights = weights.copy()
    for _ in range(moves):
        slope = np.matmul(products, weights[..., None])[..., 0]
        to = slope.argmin(axis=1)
        away = np.where(weights > 0.0, slope, -np.inf).argmax(axis=1)
        gain = slope[rows, away] - slope[rows, to]
        bend = products[rows, to, to] + products[rows, away, away] - 2.0 * products[rows, to, away]
        moved = np.clip(gain / np.maximum(bend, _TINY), 0.0, weights[rows, away])
        weights[rows, away] -= moved
        weights[rows, to] += moved
    return weights
