"""What orderings by one number have in common: a heap of those who wait, and help for the oldest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING

from .guard import Guard
from .lazy_heap import LazyHeap

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Served, Ticket


class Ranked(ABC):
    """Tickets leave by a number, the smallest first, but for the oldest where it is to be helped.

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
        self._ranks: LazyHeap[str, float] = LazyHeap()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @abstractmethod
    def _rank(self, ticket: Ticket) -> float:
        """Return the number."""

    def _first(self, now_s: float) -> str | None:  # noqa: ARG002 - for those whose order moves with time
        """Return who is next by rank, None where nobody waits."""
        first = self._ranks.first()
        return None if first is None else first[1]

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id not in self._waiting:
            self._waiting[ticket.id] = ticket
            self._ranks.add(ticket.id, self._rank(ticket))

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next without taking it out, None where nobody waits."""
        if not self._waiting:
            return None
        if self._guard.due and (helped := self._guard.helps(next(iter(self._waiting.values())), now_s)) is not None:
            return helped
        first = self._first(now_s)
        return None if first is None else self._waiting[first]

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        self._ranks.discard(ticket_id)
        return self._waiting.pop(ticket_id, None) is not None

    def entered(self, ticket: Ticket, now_s: float) -> None:  # noqa: ARG002 - the protocol's arguments
        """Count one that was let in."""
        self._guard.entered(ticket)

    def ended(self, served: Served) -> None:  # noqa: B027  (not every such order has something to learn)
        """Learn nothing: the order goes by what was known before."""
