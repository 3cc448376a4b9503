"""Earliest deadline first: who must enter first, first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from .guard import Guard
from .lazy_heap import LazyHeap
from .measure import enter_by_s

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Served, Ticket


class Deadline:
    """Tickets leave by when they must enter so that their objective can still be met (earliest deadline first).

    Those without an objective come behind, as they came; those who can no longer meet theirs last, as they came.

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
        self._dues: LazyHeap[str, float] = LazyHeap()
        self._lost: LazyHeap[str, float] = LazyHeap()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id not in self._waiting:
            self._waiting[ticket.id] = ticket
            self._dues.add(ticket.id, enter_by_s(ticket))

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next without taking it out, None where nobody waits."""
        if not self._waiting:
            return None
        if self._guard.due and (helped := self._guard.helps(next(iter(self._waiting.values())), now_s)) is not None:
            return helped
        while (first := self._dues.first()) is not None and first[0] < now_s:
            self._dues.discard(first[1])
            self._lost.add(first[1], self._waiting[first[1]].enqueued_s)
        first = first or self._lost.first()
        return None if first is None else self._waiting[first[1]]

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        if not self._dues.discard(ticket_id):
            self._lost.discard(ticket_id)
        return self._waiting.pop(ticket_id, None) is not None

    def entered(self, ticket: Ticket, now_s: float) -> None:  # noqa: ARG002 - the protocol's arguments
        """Count one that was let in."""
        self._guard.entered(ticket)

    def ended(self, served: Served) -> None:
        """Learn nothing: the order goes by what is due."""
