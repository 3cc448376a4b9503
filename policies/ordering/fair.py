"""The tenant first that has had the least."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from .accounts import Accounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.admission.tickets import Served, Ticket

_NO_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({})


class Fair:
    """The next ticket is the oldest of the tenant with the least virtual token counter (VTC, Sheng et al., OSDI'24).

    Fairness: of two tenants that both wait all the time, what they are served for their weights differs by at most
    ``2 * max(1 * largest prompt, 2 * largest output of all inside)``, where predictions are right.
    Bound on waiting: between two of a tenant's own that are let in, each other tenant gets at most what the first of the two
    was charged, and one request more; a ticket waits for those of its own tenant before it, so long each. O(log n), amortised.

    Args:
        weights: of tenants by shell-style pattern, the first that fits counts; 1 where none does.
        tenants: how many that do not wait are remembered.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(self, *, weights: Mapping[str, float] = _NO_WEIGHTS, tenants: int = 10_000) -> None:
        self._accounts = Accounts(weights, tenants)
        self._tickets: dict[str, Ticket] = {}
        self._lines: dict[str, OrderedDict[str, Ticket]] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._tickets)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id in self._tickets:
            return
        self._tickets[ticket.id] = ticket
        line = self._lines.get(ticket.tenant)
        if line is None:
            line = self._lines[ticket.tenant] = OrderedDict()
            self._accounts.begins(ticket.tenant)
        line[ticket.id] = ticket

    def peek(self, now_s: float) -> Ticket | None:  # noqa: ARG002 - the protocol hands the time to every ordering
        """Return who is next without taking it out, None where nobody waits."""
        tenant = self._accounts.next()
        return None if tenant is None else next(iter(self._lines[tenant].values()))

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is None:
            return False
        line = self._lines[ticket.tenant]
        del line[ticket_id]
        if not line:
            del self._lines[ticket.tenant]
            self._accounts.ends(ticket.tenant)
        return True

    def entered(self, ticket: Ticket, now_s: float) -> None:  # noqa: ARG002 - the protocol's arguments
        """Charge the tenant of one that was let in."""
        self._accounts.entered(ticket)

    def ended(self, served: Served) -> None:
        """Put the charge right."""
        self._accounts.ended(served)
