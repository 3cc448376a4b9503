"""Envoy's adaptive concurrency, as its gradient controller documents it: a limit by how far latency is above the least."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Load, Served, Ticket

_LEAST = 3
_WINDOWS = 5


class EnvoyGradient:
    """limit = gradient * limit + sqrt(limit), gradient = (minRTT + 10%) / p90 of 100 ms, from .5 to 2.

    Every 60 s, and after five windows at the least limit, minRTT is measured anew: the p90 of 50 requests with three inside.
    The percentile, the window and the 10% are what is usual. The latency is the time to the first token from
    entering: the whole answer's depends on its length.
    """

    def __init__(self, start: int = 128, most: int = 1_000) -> None:
        self._limit = float(start)
        self._most = most
        self._least: float | None = None
        self._probe: list[float] = []
        self._probing = True
        self._probed_s = 0.0
        self._sample: list[float] = []
        self._sampled_s = 0.0
        self._at_least = 0  # windows in a row

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002
        """Return whether there is room for one more."""
        return load.inflight < (_LEAST if self._probing else round(self._limit))

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def ended(self, served: Served, load: Load) -> None:
        """Take in a latency."""
        took, now = served.ttft_inside_s, load.now_s
        if took is None:
            return
        if self._probing:
            self._probe.append(took)
            if len(self._probe) == 50:
                self._least, self._probing, self._probed_s = float(np.percentile(self._probe, 90)), False, now
                self._sampled_s, self._sample = now, []
            return
        self._sample.append(took)
        if self._least is not None and now - self._sampled_s >= 0.1:
            gradient = min(max(1.1 * self._least / max(float(np.percentile(self._sample, 90)), 1e-6), 0.5), 2.0)
            self._limit = min(max(gradient * self._limit + math.sqrt(self._limit), _LEAST), self._most)
            self._at_least = self._at_least + 1 if self._limit <= _LEAST else 0
            self._sampled_s, self._sample = now, []
        if now - self._probed_s >= 60.0 or self._at_least == _WINDOWS:
            self._probing, self._probe, self._at_least = True, [], 0
