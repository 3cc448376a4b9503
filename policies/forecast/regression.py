"""Recursive least squares with forgetting, many series at once (Haykin, "Adaptive Filter Theory", chapter 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from .arrays import Floats

FORGETTING: Final = 0.995
_SPREAD: Final = 10.0  # the inverse covariance may grow to so many times what it began with
_SLOWEST: Final = 0.005


class Regression:
    """Predicts how far the next value lies from a centre by how far the last ones did.

    Attributes:
        state: arrays by name, the first axis the series.
    """

    def __init__(self, series: int, lags: int) -> None:
        self._first = np.full(lags, 0.1)
        self._first[0] = 0.5
        self.state: dict[str, Floats] = {
            "slopes": np.tile(self._first, (series, 1)),
            "inverse": np.tile(np.eye(lags), (series, 1, 1)),
            "scale": np.zeros(series),  # mean square of what is predicted
            "learned": np.zeros(series),
        }

    def begin(self, row: int) -> None:
        """Forget what was learned of a series."""
        self.state["slopes"][row] = self._first
        self.state["inverse"][row] = np.eye(len(self._first))
        self.state["scale"][row] = self.state["learned"][row] = 0.0

    def predict(self, past: Floats) -> Floats:
        """Return the next deviations, shape (series,), from the last ones, shape (series, lags)."""
        deviations: Floats = np.einsum("sl,sl->s", self.state["slopes"], past)
        return deviations

    def learn(self, past: Floats, came: Floats, known: Floats) -> None:
        """Learn that `came` followed `past`, in the series where `known` is 1.0 and not 0.0."""
        slopes, inverse, scale, learned = (self.state[name] for name in ("slopes", "inverse", "scale", "learned"))
        learned += known
        scale += known * np.maximum(_SLOWEST, 1.0 / np.maximum(learned, 1.0)) * (came**2 - scale)
        # in units of the usual deviation, at least one request, so that the start matters equally at any level
        unit = known / np.sqrt(np.maximum(scale, 1.0))
        seen = past * unit[:, None]
        moved = np.einsum("sij,sj->si", inverse, seen)
        spread = np.einsum("si,si->s", seen, moved)
        for row in np.flatnonzero(spread < 0):  # rounding made it no covariance any more
            self.begin(int(row))
            moved[row], spread[row] = seen[row], seen[row] @ seen[row]
        gain = moved / (FORGETTING + spread)[:, None]
        slopes += gain * (came * unit - np.einsum("si,si->s", slopes, seen))[:, None]
        inverse -= gain[:, :, None] * moved[:, None, :]
        inverse /= np.where(known > 0, FORGETTING, 1.0)[:, None, None]
        size = np.einsum("sii->s", inverse)
        inverse *= np.minimum(1.0, _SPREAD * slopes.shape[1] / np.maximum(size, 1.0))[:, None, None]
