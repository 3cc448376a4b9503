"""Envoy's adaptive concurrency, as its gradient controller documents it: a limit by how far latency is above the least."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Load, Served, Ticket


class EnvoyGradient:
    """limit = gradient * limit + sqrt(limit), gradient = (minRTT + 10%) / p90 of 100 ms, at most 2.

    Every 60 s the least latency is measured anew over 50 requests with three inside. The latency is the time to the first
    token from entering, where there is one: the whole answer's depends on its length.
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

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002
        """Return whether there is room for one more."""
        return load.inflight < (3 if self._probing else max(1, round(self._limit)))

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
                self._least, self._probing, self._probed_s = float(np.mean(self._probe)), False, now
                self._sampled_s, self._sample = now, []
            return
        self._sample.append(took)
        if self._least is not None and now - self._sampled_s >= 0.1:
            gradient = min(2.0, 1.1 * self._least / max(float(np.percentile(self._sample, 90)), 1e-6))
            self._limit = min(max(gradient * self._limit + math.sqrt(self._limit), 3.0), self._most)
            self._sampled_s, self._sample = now, []
        if now - self._probed_s >= 60.0:
            self._probing, self._probe = True, []
