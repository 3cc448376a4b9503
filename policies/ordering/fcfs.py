"""First come, first served."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket


class FCFS:
    """Tickets leave in the order in which they came. Every operation is O(1)."""

    def __init__(self) -> None:
        # not a dict: taking its first key scans the holes that removed keys left behind
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()

    def push(self, ticket: Ticket) -> None:
        """Add a ticket at the end; one that is waiting already keeps its place."""
        self._waiting.setdefault(ticket.id, ticket)

    def peek(self, now_s: float) -> Ticket | None:  # noqa: ARG002 - the protocol hands the time to every ordering
        """Return the oldest ticket without taking it out, None where nobody waits."""
        return next(iter(self._waiting.values()), None)

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        return self._waiting.pop(ticket_id, None) is not None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)
