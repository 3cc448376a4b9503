"""The law that explains an engine's equations best: least squares that cannot go below zero."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from .law import Law

if TYPE_CHECKING:
    from .ledger import Floats, Rows

ENOUGH = 12
_KINDS = 16
_EACH = 64
# what a lone sequence costs is the iteration's own time, until there are batches to tell them apart
_RIDGE = np.array([1e-5, 1e-4, 1e-4, 1e-4])
_ROUNDS = 8
_SOME = np.array(list(product((0.0, 1.0), repeat=4)))  # every set of the four, none of them included
_INSIDE = _SOME[:, :, None] * _SOME[:, None, :] > 0
_IDENTITY = np.eye(4)
_solve: Any = np.linalg.solve  # its stubs leave the type of the result open


class LawFit:
    """Fits a `Law` to the equations of a `Ledger`.

    The newest 64 equations are kept of each size of batch (powers of two), so that a long time at one load does not make it
    forget the others, by which alone the coefficients can be told apart: at most 1,024. Errors are relative; equations that
    are far off (more than twice the median) count less, and what the equations leave open stays as it was.
    """

    def __init__(self, law: Law | None = None) -> None:
        self.law = law
        self._kept = np.zeros((_KINDS, _EACH, 5))  # terms over seconds, and the weight: 0 where there is none
        self._count = [0] * _KINDS

    def add(self, rows: Rows) -> None:
        """Take in equations; `refit` makes something of them."""
        sizes = np.log2(np.maximum(rows.terms[:, 2] / rows.terms[:, 0], 1.0)).astype(int)
        for terms, weight, size in zip(rows.terms / rows.seconds[:, None], rows.weights, sizes, strict=True):
            kind = min(int(size), _KINDS - 1)
            place = self._kept[kind, self._count[kind] % _EACH]
            place[:4], place[4] = terms, weight
            self._count[kind] += 1

    def refit(self) -> None:
        """Fit the law again, where there are equations enough."""
        kept = self._kept[self._kept[:, :, 4] > 0]
        if len(kept) < ENOUGH:
            return
        terms, given = kept[:, :4], kept[:, 4]
        prior = np.zeros(4) if self.law is None else np.array(self.law.coefficients)
        weights = given
        found = prior
        for _ in range(_ROUNDS):
            found = _not_negative(terms * weights[:, None], weights, prior)
            off = np.abs(terms @ found - 1)
            usual = max(2 * float(np.median(off)), 1e-6)
            weights = given * np.sqrt(np.minimum(1.0, usual / np.maximum(off, 1e-12)))
        if np.isfinite(found).all() and found.any():
            self.law = Law(*(float(value) for value in found))


def _not_negative(terms: Floats, target: Floats, prior: Floats) -> Floats:
    """Return the x >= 0 that minimises |terms x - target|^2 and, a little, its distance from `prior`.

    There are four unknowns, so every set of those that are not zero is tried, all sets at once: in each the equations of
    those that are zero say that they are.
    """
    scale = np.sqrt((terms * terms).sum(0))
    scale[scale == 0] = 1.0
    unit = terms / scale
    gram = unit.T @ unit + np.diag(_RIDGE)
    right = unit.T @ target + _RIDGE * prior * scale
    found: Floats = _solve(np.where(_INSIDE, gram, _IDENTITY), (_SOME * right)[:, :, None])[:, :, 0]
    loss = np.where((found >= 0).all(1), -(found @ right), np.inf)
    best: Floats = found[loss.argmin()] / scale
    return best
