"""How many requests came in each of the last seconds, and how bursty that is."""

from __future__ import annotations

from typing import Final

import numpy as np

BINS_S: Final = (1, 10, 60)
LEAST_BINS: Final = 5
"""Bins from which an index of dispersion is reckoned."""


class Seconds:
    """Counts by second of the last `window_s` seconds, the running one aside; the same memory however many come."""

    def __init__(self, window_s: float) -> None:
        self._counts = np.zeros(int(window_s) + 1)
        self._first: int | None = None
        self._last = 0

    def add(self, now_s: float) -> None:
        """Count a request. Times never go back."""
        second = int(now_s // 1)
        if self._first is None:
            self._first = self._last = second
        self._advance(second)
        self._counts[second % len(self._counts)] += 1

    def dispersion(self, now_s: float) -> dict[int, float]:
        """Return the index of dispersion, variance over mean of the counts, for each length of bins there are enough of.

        1 at each length for a Poisson process, more for one that comes in bursts.
        """
        if self._first is None:
            return {}
        self._advance(int(now_s // 1))
        whole = min(
            self._last - self._first - 1, len(self._counts) - 1
        )  # of the first and the last second a part is missing
        if whole < 1:
            return {}
        counts = self._counts[(self._last - np.arange(1, whole + 1)) % len(self._counts)]
        found: dict[int, float] = {}
        for length in BINS_S:
            bins = whole // length
            sums = counts[: bins * length].reshape(bins, length).sum(axis=1)
            if bins >= LEAST_BINS and sums.any():
                found[length] = float(sums.var() / sums.mean())
        return found

    def _advance(self, second: int) -> None:
        gone = min(second - self._last, len(self._counts))
        if gone > 0:
            self._counts[(self._last + 1 + np.arange(gone)) % len(self._counts)] = 0
            self._last = second
