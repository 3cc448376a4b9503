"""The rate at which a queue moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Load

_KEPT: Final = 0.98
_LEAST: Final = 8.0


class Flow:
    """Requests let in a second while others waited, over the last fifty or so.

    Attributes:
        last_s: when the last one was let in.
    """

    def __init__(self) -> None:
        self.last_s = math.inf
        self._waited = False
        self._count = self._seconds = 0.0

    def entered(self, load: Load) -> None:
        """Note one that was let in; the time before it counts where somebody was waiting all the while."""
        if self._waited and load.now_s >= self.last_s:
            self._count = self._count * _KEPT + 1
            self._seconds = self._seconds * _KEPT + load.now_s - self.last_s
        self.last_s = load.now_s
        self._waited = load.queued > 0

    def seconds(self, requests: float) -> float:
        """Return how long it takes until so many are let in; 0 where the rate is not known yet: nobody is refused on a guess."""
        return 0.0 if self._count < _LEAST else max(requests, 0.0) * self._seconds / self._count
