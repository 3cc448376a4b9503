"""A limit by additive increase and multiplicative decrease, steered by the objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Load, Served, Ticket


class Aimd:
    """Where more than a tenth missed the TPOT or, from entering, the TTFT objective: * .85, at most every 2 s, not below 16.

    Else, where all places were taken: + 1 for each that ends until the first decrease (slow start), + 1 / limit after it.
    """

    def __init__(self, start: int = 32, most: int = 256) -> None:
        self._limit = float(start)
        self._most = most
        self._missed = 0.0
        self._slow_start = True
        self._cut_s = -2.0

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002
        """Return whether there is room for one more."""
        return load.inflight < int(self._limit)

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def ended(self, served: Served, load: Load) -> None:
        """Take in whether it met the objectives."""
        aim = served.ticket.objective
        late = aim.tpot_s is not None and served.tpot_s is not None and served.tpot_s > aim.tpot_s
        late |= aim.ttft_s is not None and served.ttft_inside_s is not None and served.ttft_inside_s > aim.ttft_s
        self._missed += 0.05 * (late - self._missed)
        if self._missed > 0.1:
            if load.now_s - self._cut_s >= 2.0:
                self._limit, self._cut_s, self._slow_start = max(16.0, 0.85 * self._limit), load.now_s, False
        elif load.inflight + 1 >= int(self._limit):
            self._limit = min(self._most, self._limit + (1 if self._slow_start else 1 / self._limit))
