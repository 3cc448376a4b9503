"""Goodput: the share of the last requests that met their latency objective; a refused one did not."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ..admission.tickets import NO_OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..admission.tickets import Objective
    from .facts import Priority

WINDOW_S: Final = 60.0
MOST: Final = 1_000
LEAST: Final = 20
"""Fewer ended requests than this say nothing about the share."""


class Goodput:
    """Keeps the last minute, at most 1,000 requests.

    Args:
        objectives: by priority class; a class without one always meets it.
    """

    def __init__(self, objectives: Mapping[Priority, Objective]) -> None:
        self._objectives = objectives
        self._ended: deque[tuple[float, bool]] = deque()
        self._met = 0

    def objective(self, priority: Priority) -> Objective:
        """Return what a class shall be answered within."""
        return self._objectives.get(priority, NO_OBJECTIVE)

    def ended(
        self, priority: Priority, now_s: float, *, ttft_s: float | None, tpot_s: float | None, total_s: float
    ) -> bool:
        """Note a request that was answered; return whether it met its objective."""
        met = self.objective(priority).met(ttft_s=ttft_s, tpot_s=tpot_s, total_s=total_s)
        self._note(now_s, met=met)
        return met

    def refused(self, now_s: float) -> None:
        """Note a request that was refused or failed."""
        self._note(now_s, met=False)

    def share(self, now_s: float) -> float | None:
        """Return the share of the last minute's requests, None where too few have ended to say."""
        while self._ended and now_s - self._ended[0][0] > WINDOW_S:
            self._drop()
        if len(self._ended) < LEAST:
            return None
        return self._met / len(self._ended)

    def _note(self, now_s: float, *, met: bool) -> None:
        self._ended.append((now_s, met))
        self._met += met
        if len(self._ended) > MOST:
            self._drop()

    def _drop(self) -> None:
        self._met -= self._ended.popleft()[1]
