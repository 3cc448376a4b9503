"""A bank in time: which window is open, what came in it, and the closing of those that are over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from .arrays import Floats, Rows
    from .bank import Bank

SILENCE: Final = 16  # so many empty windows in a row are learned; more of the same would teach nothing new


class Track:
    """Windows of one length, one after another from the first arrival on, and what the bank says of the next.

    Attributes:
        bank: learns from each window that ends.
        end_s: when the open window ends.
        counts: arrivals in it, shape (series,).
    """

    def __init__(self, bank: Bank, series: int) -> None:
        self.bank = bank
        self.end_s = math.inf
        self.counts: Floats = np.zeros(series)
        self._clock_s = 0.0

    def start(self, now_s: float) -> None:
        """Open the first window."""
        self._clock_s = now_s
        self.end_s = now_s + self.bank.window_s
        self.counts[:] = 0.0

    def begin(self, row: int) -> None:
        """Give a row to another series."""
        self.bank.begin(row)
        self.counts[row] = 0.0

    def take(self, rows: Rows, times_s: Floats, now_s: float) -> None:
        """Count arrivals, all before the open window's end and not after now."""
        self._pass(now_s)
        self.bank.count(rows, np.maximum(now_s - times_s, 0.0))
        self.counts += np.bincount(rows, minlength=len(self.counts))

    def advance(self, now_s: float, since_s: Floats) -> bool:
        """Close the windows that are over; return whether one was.

        Args:
            since_s: when each series began.
        """
        window_s = self.bank.window_s
        over = 0
        while self.end_s <= now_s and over < SILENCE:
            self._pass(self.end_s)
            self.bank.close(self.counts, self.end_s - since_s)
            self.counts[:] = 0.0
            self.end_s += window_s
            over += 1
        if self.end_s <= now_s:
            self.end_s = max(self.end_s + (now_s - self.end_s) // window_s * window_s, math.nextafter(now_s, math.inf))
        return over > 0

    def read(self, now_s: float, since_s: Floats) -> Floats:
        """Return count, lower and upper end for the window that would begin now, shape (series, 3); none is over."""
        self._pass(now_s)
        window_s = self.bank.window_s
        passed = min(1.0, max(0.0, 1.0 - (self.end_s - now_s) / window_s))
        return self.bank.expect(passed, self.counts, now_s - since_s)

    def _pass(self, now_s: float) -> None:
        if now_s > self._clock_s:
            self.bank.pass_time(now_s - self._clock_s)
            self._clock_s = now_s
