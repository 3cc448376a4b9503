"""One series of windows, forecast one window ahead: the bank as replays use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .bank import Bank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Series:
    """Say what the next window will hold, then be told.

    Args:
        window_s: length of a window in seconds.
        without: members of the bank to leave out.
    """

    def __init__(self, window_s: float, without: Sequence[str] = ()) -> None:
        self._bank = Bank(window_s, without=without)
        self._watched_s = 0.0

    def expect(self) -> tuple[float, float, float]:
        """Return the forecast of the next window's count, and the ends of what holds 80%; zeros before the first window."""
        middle, low, high = self._bank.state["range"][0].tolist()
        return middle, low, high

    def members(self) -> Mapping[str, float]:
        """Return what each member says of the next window."""
        return dict(zip(self._bank.members, self._bank.state["said"][0].tolist(), strict=True))

    def best(self) -> str:
        """Return the member that was best of late."""
        return self._bank.members[int(self._bank.best()[0])]

    def close(self, count: float, offsets_s: Sequence[float] | None = None) -> None:
        """Learn what the window held.

        Args:
            count: of requests; need not be whole.
            offsets_s: when in the window each came; None where only the count is known.
        """
        bank = self._bank
        self._watched_s += bank.window_s
        bank.pass_time(bank.window_s)
        if offsets_s is None:
            bank.spread(0, count)
        else:
            ages_s = bank.window_s - np.asarray(offsets_s, dtype=np.float64)
            bank.count(np.zeros(len(ages_s), dtype=np.intp), ages_s)
        bank.close(np.array([count]), np.array([self._watched_s]))
