"""The shortest first, by predicted output."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from .guard import Guard
from .lazy_heap import LazyHeap
from .measure import length

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Served, Ticket


class ShortestFirst:
    """Tickets leave by predicted output and a twentieth of their prompt, the shortest first.

    Bound on waiting: who has waited `patience_s` is let in after at most ``every * (n + 1)`` more, n being those waiting who
    came before it: every `every`-th that is let in is the oldest. O(log n), amortised.

    Args:
        patience_s: how long the oldest waits before it is helped so.
        every: of how many let in one is such.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(self, *, patience_s: float = 30.0, every: int = 4) -> None:
        self._guard = Guard(every, patience_s)
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()
        self._lengths: LazyHeap[str, float] = LazyHeap()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id not in self._waiting:
            self._waiting[ticket.id] = ticket
            self._lengths.add(ticket.id, length(ticket))

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next without taking it out, None where nobody waits."""
        first = self._lengths.first()
        if first is None:
            return None
        helped = self._guard.helps(next(iter(self._waiting.values())), now_s) if self._guard.due else None
        return helped or self._waiting[first[1]]

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        self._lengths.discard(ticket_id)
        return self._waiting.pop(ticket_id, None) is not None

    def entered(self, ticket: Ticket, now_s: float) -> None:  # noqa: ARG002 - the protocol's arguments
        """Count one that was let in."""
        self._guard.entered(ticket)

    def ended(self, served: Served) -> None:
        """Learn nothing: the order goes by what was predicted."""
