"""Round robin among tenants, for comparison: one request each in turn, first come, first served inside a tenant."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Ticket


class RoundRobin:
    """Tenants take turns, whatever their requests take of the engine."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._lines: OrderedDict[str, OrderedDict[str, Ticket]] = OrderedDict()

    def push(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket
        self._lines.setdefault(ticket.tenant, OrderedDict())[ticket.id] = ticket

    def peek(self, now_s: float) -> Ticket | None:  # noqa: ARG002
        line = next(iter(self._lines.values()), None)
        return None if line is None else next(iter(line.values()))

    def remove(self, ticket_id: str) -> bool:
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is None:
            return False
        line = self._lines[ticket.tenant]
        del line[ticket_id]
        self._lines.move_to_end(ticket.tenant)
        if not line:
            del self._lines[ticket.tenant]
        return True

    def __len__(self) -> int:
        return len(self._tickets)
