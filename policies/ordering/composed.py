"""Urgent classes first, tenants fairly, and of a tenant's whatever keeps the most within their objective."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Priority
from .accounts import CREDIT_TOKENS, TENANTS, Accounts
from .guard import Guard
from .line import Line, Losses
from .measure import enter_by_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.admission.tickets import Served, Ticket

PATIENCE_S: Final[Mapping[Priority, float]] = MappingProxyType(
    {Priority.INTERACTIVE: 60.0, Priority.STANDARD: 60.0, Priority.BATCH: 120.0, Priority.BACKGROUND: 600.0}
)
EVERY: Final = 8
GUARD: Final = 64
_NO_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({})


class _Band:
    """Those of one class."""

    __slots__ = ("_accounts", "_every", "_lines", "_losses", "_patience_s", "_waiting")

    def __init__(self, accounts: Accounts, every: int, patience_s: float) -> None:
        Guard(every, patience_s)  # a setting out of range is told now, not with the first request
        self._accounts = accounts
        self._every = every
        self._patience_s = patience_s
        self._lines: dict[str, Line] = {}
        self._losses = Losses()
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()  # in the order in which they came

    def push(self, ticket: Ticket) -> None:
        """Add a ticket that is not there."""
        line = self._lines.get(ticket.tenant)
        if line is None:
            line = self._lines[ticket.tenant] = Line(self._every, self._patience_s, self._losses)
            self._accounts.begins(ticket.tenant)
        self._waiting[ticket.id] = ticket
        line.push(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that is there."""
        del self._waiting[ticket.id]
        line = self._lines[ticket.tenant]
        line.remove(ticket.id)
        if not line:
            del self._lines[ticket.tenant]
            self._accounts.ends(ticket.tenant)

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next of the tenant that has had the least, None where nobody waits."""
        tenant = self._accounts.next()
        return None if tenant is None else self._lines[tenant].peek(now_s)

    def oldest(self) -> tuple[float, Ticket] | None:
        """Return when the patience of the first to come ends, and that one; None where nobody waits."""
        ticket = next(iter(self._waiting.values()), None)
        return None if ticket is None else (ticket.enqueued_s + self._patience_s, ticket)

    def entered(self, ticket: Ticket, now_s: float) -> None:
        """Charge and count one that was let in."""
        self._accounts.entered(ticket)
        if now_s <= enter_by_s(ticket) < math.inf:
            self._losses.note(late=False)
        line = self._lines.get(ticket.tenant)
        if line is not None:
            line.entered(ticket)

    def ended(self, served: Served) -> None:
        """Put the charge right."""
        self._accounts.ended(served)


class Composed:
    """The next ticket is of the most urgent class of which somebody waits, and there of the tenant that has had the least.

    Tenants are compared by `Accounts`, for each class by itself; `Line` says who of a tenant's own is next: the shortest in
    time, but whose deadline is near while all can be in time.

    Bound on waiting: who has waited for its class's patience is let in after at most ``guard * (n + 1)`` more, n being those
    waiting whose patience ends before: every `guard`-th that is let in is the one whose patience ended first. And after at
    most ``every * (m + 1)`` more of its own tenant and class, m being those of them who came before it. O(log n), amortised.

    Args:
        patience_s: how long each class waits before it is helped; those not given as in `PATIENCE_S`.
        every, guard: of the bound.
        weights: of tenants by shell-style pattern, the first that fits counts; 1 where none does.
        tenants: how many that do not wait are remembered, for each class.
        credit_tokens: how far a tenant that begins to wait may be below those that wait.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        *,
        patience_s: Mapping[Priority, float] = PATIENCE_S,
        every: int = EVERY,
        guard: int = GUARD,
        weights: Mapping[str, float] = _NO_WEIGHTS,
        tenants: int = TENANTS,
        credit_tokens: float = CREDIT_TOKENS,
    ) -> None:
        self._guard = Guard(guard)
        self._bands = {
            name: _Band(Accounts(weights, tenants, credit_tokens), every, patience_s.get(name, PATIENCE_S[name]))
            for name in Priority
        }
        self._tickets: dict[str, Ticket] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._tickets)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id not in self._tickets:
            self._tickets[ticket.id] = ticket
            self._bands[ticket.priority].push(ticket)

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next without taking it out, None where nobody waits."""
        if not self._tickets:
            return None
        if self._guard.due and (helped := self._overdue(now_s)) is not None:
            return self._guard.help(helped)
        return next(ticket for band in self._bands.values() if (ticket := band.peek(now_s)) is not None)

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is None:
            return False
        self._bands[ticket.priority].remove(ticket)
        return True

    def entered(self, ticket: Ticket, now_s: float) -> None:
        """Charge the tenant of one that was let in."""
        self._bands[ticket.priority].entered(ticket, now_s)
        self._guard.entered(ticket)

    def ended(self, served: Served) -> None:
        """Put the charge right."""
        self._bands[served.ticket.priority].ended(served)

    def _overdue(self, now_s: float) -> Ticket | None:
        found = [oldest for band in self._bands.values() if (oldest := band.oldest()) is not None]
        end_s, ticket = min(found, key=lambda oldest: oldest[0])
        return ticket if end_s <= now_s else None
