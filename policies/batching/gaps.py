"""How long it is until the next member comes, and whether waiting for it pays. Pure: times come with the argument."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

_GAPS: Final = 32
_ENOUGH: Final = 8


@dataclass(frozen=True, slots=True)
class Company:
    """What one more member in the batch would change.

    Attributes:
        size: members now.
        now_s: that the batch takes as it is; `joined_s`: with one more.
        next_s: that the next batch would take with the one more in it; `added_s`: of those, what the one more adds.
        crowd: who else waits longer while the engine is busy longer.
    """

    size: int
    now_s: float
    joined_s: float
    next_s: float
    added_s: float
    crowd: float

    def gain(self, gap_s: float) -> float:
        """Return the member-seconds saved where the next one comes after this time; below 0 where they are lost."""
        size = self.size
        apart = size * self.now_s + max(0.0, self.now_s - gap_s) + self.next_s
        together = (size + 1) * self.joined_s + size * gap_s
        return apart - together + self.crowd * (self.now_s + self.added_s - self.joined_s - gap_s)


class Gaps:
    """The last 32 times between two arrivals."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._last_s: float | None = None

    def arrived(self, now_s: float) -> None:
        """Note an arrival."""
        if self._last_s is not None:
            self._gaps.append(max(0.0, now_s - self._last_s))
        self._last_s = now_s if self._last_s is None else max(now_s, self._last_s)

    @property
    def rate(self) -> float:
        """Arrivals a second, 0 until enough were seen; infinite where all came at once."""
        if len(self._gaps) < _ENOUGH:
            return 0.0
        total = sum(self._gaps)
        return len(self._gaps) / total if total > 0 else math.inf

    def patience_s(self, company: Company, now_s: float) -> float:
        """Return how long to wait for the next member, 0 for not at all.

        The next gap is taken to be one of the last ones that are longer than what has passed since the last arrival. To wait until a time t
        gains `Company.gain` where the next one comes before, and costs t for each where none does; the best t
        is one of the gaps.
        """
        if len(self._gaps) < _ENOUGH or self._last_s is None:
            return 0.0
        passed = max(0.0, now_s - self._last_s)
        left = sorted(gap - passed for gap in self._gaps if gap > passed)
        best, patience, gained = 0.0, 0.0, 0.0
        for come, gap in enumerate(left, 1):
            gained += company.gain(gap)
            total = gained - (len(left) - come) * (company.size + company.crowd) * gap
            if total > best:
                best, patience = total, gap
        return patience
