"""Earliest deadline first: who must enter first, first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy_heap import LazyHeap
from .measure import enter_by_s
from .ranked import Ranked

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket


class Deadline(Ranked):
    """Tickets leave by when they must enter so that their objective can still be met (earliest deadline first).

    Those without an objective come behind, as they came; those who can no longer meet theirs last, as they came. `Ranked` has
    the bound on waiting.
    """

    def __init__(self, *, patience_s: float = 30.0, every: int = 4) -> None:
        super().__init__(patience_s=patience_s, every=every)
        self._lost: LazyHeap[str, float] = LazyHeap()

    def _rank(self, ticket: Ticket) -> float:
        return enter_by_s(ticket)

    def _first(self, now_s: float) -> str | None:
        while (first := self._ranks.first()) is not None and first[0] < now_s:
            self._ranks.discard(first[1])
            self._lost.add(first[1], self._waiting[first[1]].enqueued_s)
        first = first or self._lost.first()
        return None if first is None else first[1]

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        self._lost.discard(ticket_id)
        return super().remove(ticket_id)
