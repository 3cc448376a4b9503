"""The shortest first, by predicted output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .measure import length
from .ranked import Ranked

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket


class ShortestFirst(Ranked):
    """Tickets leave by predicted output and a twentieth of their prompt, the shortest first; `Ranked` has the bound on waiting."""

    def _rank(self, ticket: Ticket) -> float:
        return length(ticket)
