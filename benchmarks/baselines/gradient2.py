"""Netflix concurrency-limits' Gradient2: a limit by how far short-term latency is above the long-term one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Load, Served, Ticket


class Gradient2:
    """g = clamp(1.5 * long / short, .5, 1); limit = .8 * limit + .2 * (g * limit + 4), from 20 to 200 where the limit is used.

    The latency is the time to the first token from entering, over a long window of 600.
    """

    def __init__(self, start: int = 128) -> None:
        self._limit = float(start)
        self._long = 0.0
        self._seen = 0

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002
        """Return whether there is room for one more."""
        return load.inflight < round(self._limit)

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def ended(self, served: Served, load: Load) -> None:
        """Take in a latency."""
        short = served.ttft_inside_s
        if short is None:
            return
        self._seen += 1
        self._long += (short - self._long) / min(self._seen, 600)
        if self._long > 2 * short:
            self._long *= 0.95
        if load.inflight < self._limit / 2:
            return
        gradient = min(max(1.5 * self._long / max(short, 1e-6), 0.5), 1.0)
        self._limit = min(max(0.8 * self._limit + 0.2 * (gradient * self._limit + 4), 20.0), 200.0)
