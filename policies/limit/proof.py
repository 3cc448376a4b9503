"""Whether a deep cut of a limit earns anything: the good requests a second before and after it."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Served

_DEEPEST: Final = 0.5
_ENOUGH: Final = 48
_LOST: Final = 0.75
_HOLD_S: Final = 60.0
_LONGEST_HOLD_S: Final = 960.0


class Proof:
    """Lets a limit be cut to less than half of what has proven itself only in halves, each of which has to prove itself.

    A half that is tried is kept where the good requests a second, counted over 48 that entered since while somebody waited, are
    at least three quarters of what they were before: where a halving gains nothing, it costs up to half of them. Else the cut
    is taken back and not tried again for a minute, after the next failure for two, up to 16.

    Args:
        places: the limit before any cut.
    """

    def __init__(self, places: float) -> None:
        self._proven = places
        self._before: float | None = None
        self._trial: float | None = None
        self._since_s = self._until_s = -math.inf
        self._hold_s = _HOLD_S
        self._last_s: float | None = None
        self._ends: deque[tuple[float, bool]] = deque(maxlen=_ENOUGH)

    def note(self, served: Served, *, met: bool, full: bool) -> None:
        """Take in a stream that ended, and whether all places were taken and somebody waited."""
        last_s, self._last_s = self._last_s, served.ended_s if full else None
        if full and last_s is not None and served.entered_s >= self._since_s:
            self._ends.append((served.ended_s - last_s, met))

    def allowed(self, places: float, now_s: float) -> float:
        """Return how many may be inside where so many are wanted."""
        good = self._good()
        if self._trial is not None and good is not None:
            self._judge(good, now_s)
        if places >= self._proven:
            self._proven, self._trial = places, None
            return places
        lowest = self._proven if now_s < self._until_s else _DEEPEST * self._proven
        if places >= lowest:
            return places
        if self._trial is None and now_s >= self._until_s:
            self._before = self._before if good is None else good
            self._trial, self._since_s = lowest, now_s
            self._ends.clear()
        return lowest

    def _judge(self, good: float, now_s: float) -> None:
        if self._before is not None and good < _LOST * self._before:
            self._until_s, self._hold_s = now_s + self._hold_s, min(2 * self._hold_s, _LONGEST_HOLD_S)
        elif self._trial is not None:
            self._proven, self._hold_s, self._before = self._trial, _HOLD_S, good
        self._trial = None
        self._since_s = -math.inf
        self._ends.clear()

    def _good(self) -> float | None:
        """Return good requests a second, None where too few say something."""
        span_s = sum(gap_s for gap_s, _ in self._ends)
        if len(self._ends) < _ENOUGH or span_s <= 0:
            return None
        return sum(met for _, met in self._ends) / span_s
