"""The books of one engine's queue: who waits, who is inside, who is refused. Pure: no loop, no clock.

The asyncio gate and the simulator of ``forebay lab scheduling`` drive this same object. The policies decide; this only
keeps count and hands them what they decide by.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..analysis.facts import Priority
from .protocols import Accounting, Steered
from .tickets import Load, Refusal, Waiting
from .usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocols import Limit, Ordering, Shedding
    from .tickets import Served, Ticket

_STALE_DUES: Final = 64
FULL: Final = Refusal("queue_full")


class Place(Enum):
    """Where a ticket is."""

    INSIDE = "inside"
    WAITING = "waiting"


@dataclass(slots=True)
class _Inside:
    """A ticket inside the engine, and whether its first token is awaited."""

    ticket: Ticket
    entered_s: float
    prefilling: bool


class AdmissionQueue:
    """Keeps the books of one engine's queue.

    Args:
        shedding: who is refused; None: nobody is.
        max_queue: waiting ones beyond which new ones are refused, whoever they are; None for as many as come.

    Attributes:
        bound: this worker's part of the limit, None for all of it.
        usage: how well the engine was used so far.
    """

    def __init__(
        self,
        ordering: Ordering,
        limit: Limit,
        shedding: Shedding | None = None,
        *,
        max_queue: int | None = None,
    ) -> None:
        self._ordering = ordering
        self._max_queue = max_queue
        self._limit = limit
        self._shedding = shedding
        self._accounts = ordering if isinstance(ordering, Accounting) else None
        self._steered = limit if isinstance(limit, Steered) else None
        self._inside: dict[str, _Inside] = {}
        self._waiting: dict[Priority, OrderedDict[str, Ticket]] = {name: OrderedDict() for name in Priority}
        self._where: dict[str, Priority] = {}
        self._dues: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._requests = dict.fromkeys(Priority, 0)
        self._tokens = dict.fromkeys(Priority, 0.0)
        self._classes = dict.fromkeys(Priority, 0)
        # what policies see of these: to be read only, and always as of now
        self._inside_by_class: Mapping[Priority, int] = MappingProxyType(self._classes)
        self._waiting_by_class: Mapping[Priority, int] = MappingProxyType(self._requests)
        self._tokens_by_class: Mapping[Priority, float] = MappingProxyType(self._tokens)
        self._tenants: dict[str, tuple[int, float]] = {}
        self._prompts = 0
        self._reserved = 0.0
        self._prefilling = 0
        self._prefilling_tokens = 0
        self.bound: int | None = None
        self.usage = Usage()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._where)

    @property
    def inside(self) -> int:
        """How many are inside."""
        return len(self._inside)

    def load(self, now_s: float) -> Load:
        """Return what is inside and what waits."""
        return Load(
            len(self._inside),
            len(self._where),
            self._prompts,
            self._reserved,
            self._prefilling,
            self._prefilling_tokens,
            self._inside_by_class,
            now_s,
        )

    def waits(self, ticket_id: str) -> bool:
        """Return whether a ticket waits."""
        return ticket_id in self._where

    def would_wait(self, ticket: Ticket, now_s: float) -> bool:
        """Return whether a ticket that came now would have to wait."""
        return bool(self._where) or not self._fits(ticket, now_s)

    def refusal(self, ticket: Ticket, now_s: float) -> Refusal | None:
        """Return why a ticket that came now would be refused, None where it would be let in, could wait, or others gave way."""
        full = self._is_full()
        if (not full and self._shedding is None) or not self.would_wait(ticket, now_s):
            return None
        if full or self._shedding is None:
            return FULL
        waiting = self._seen_by(ticket, now_s)
        refused = self._shedding.refuse(ticket, waiting)
        return None if refused is None or self._victim(ticket, waiting) is not None else refused

    def arrive(self, ticket: Ticket, now_s: float) -> tuple[Place | Refusal, list[tuple[Ticket, Refusal]]]:
        """Let a ticket in, let it wait, or refuse it; its id must be that of nobody who waits or is inside.

        Returns:
            What became of it, and those who had to leave the queue for it.
        """
        if not self.would_wait(ticket, now_s):
            self._enter(ticket, now_s)
            return Place.INSIDE, []
        if self._is_full():
            return FULL, []
        gone: list[tuple[Ticket, Refusal]] = []
        if self._shedding is not None:
            waiting = self._seen_by(ticket, now_s)
            refused = self._shedding.refuse(ticket, waiting)
            while refused is not None:
                victim = self._victim(ticket, waiting)
                if victim is None:
                    return refused, gone
                self.leave(victim.id, now_s)
                gone.append((victim, refused))
                waiting = self._seen_by(ticket, now_s)
                refused = self._shedding.refuse(ticket, waiting)
        self.usage.moved(now_s, len(self._inside), len(self._where), self._reserved)
        self._ordering.push(ticket)
        priority = ticket.priority
        self._where[ticket.id] = priority
        self._waiting[priority][ticket.id] = ticket
        self._requests[priority] += 1
        self._tokens[priority] += ticket.tokens
        self._belongs(ticket, 1)
        patience_s = self._shedding.patience_s(ticket) if self._shedding is not None else math.inf
        if patience_s < math.inf:
            self._due[ticket.id] = ticket.enqueued_s + patience_s
            heapq.heappush(self._dues, (ticket.enqueued_s + patience_s, ticket.id))
        return Place.WAITING, gone

    def admit(self, now_s: float) -> Ticket | None:
        """Let the next one in whom the limit admits; None where nobody waits or there is no room. Ask until it says so."""
        while self._where:
            ticket = self._ordering.peek(now_s)
            if ticket is None or not self._fits(ticket, now_s):
                return None
            gone = self._ordering.remove(ticket.id)
            if self._forget(ticket.id, now_s) is not None:
                self._enter(ticket, now_s)
                return ticket
            if not gone:
                return None  # an ordering that offers what it cannot remove would be asked for ever
        return None

    def next_late_s(self) -> float:
        """Return when the next one will have waited too long, infinite where nobody will."""
        while self._dues and self._due.get(self._dues[0][1]) != self._dues[0][0]:
            heapq.heappop(self._dues)
        return self._dues[0][0] if self._dues else math.inf

    def put_out(self, now_s: float) -> list[tuple[Ticket, Refusal]]:
        """Put out and return those who have waited too long by now."""
        late: list[tuple[Ticket, Refusal]] = []
        while self._shedding is not None and self.next_late_s() <= now_s:
            ticket_id = heapq.heappop(self._dues)[1]
            ticket = self._waiting[self._where[ticket_id]][ticket_id]
            refusal = self._shedding.late(ticket, self._seen_by(ticket, now_s))
            self.leave(ticket_id, now_s)
            late.append((ticket, refusal))
        return late

    def leave(self, ticket_id: str, now_s: float) -> bool:
        """Take out one who waits; return whether it did. Who stood behind it may fit now."""
        known = self._forget(ticket_id, now_s) is not None
        with contextlib.suppress(Exception):  # a broken ordering must not keep anybody's own reason to leave
            self._ordering.remove(ticket_id)
        return known

    def exit(self, ticket_id: str, now_s: float) -> bool:
        """Note that one inside has left; return whether it was inside. Others may fit now."""
        one = self._inside.get(ticket_id)
        if one is None:
            return False
        self.usage.moved(now_s, len(self._inside), len(self._where), self._reserved)
        del self._inside[ticket_id]
        self._has_read(one)
        ticket = one.ticket
        self._prompts -= ticket.input_tokens
        self._reserved = self._reserved - ticket.tokens if self._inside else 0.0
        self._classes[ticket.priority] -= 1
        self._belongs(ticket, -1)
        return True

    def first_token(self, ticket_id: str, now_s: float) -> None:
        """Note the first token of one inside. Others may fit now."""
        one = self._inside.get(ticket_id)
        if one is not None and one.prefilling:
            self._has_read(one)
            if self._steered is not None:
                self._steered.first_token(one.ticket, self.load(now_s))

    def learn(self, served: Served) -> None:
        """Take in what became of one that was inside."""
        if self._accounts is not None:
            self._accounts.ended(served)
        if self._steered is not None:
            self._steered.ended(served, self.load(served.ended_s))

    def clear(self, now_s: float) -> None:
        """Forget all who wait."""
        for ticket_id in list(self._where):
            self.leave(ticket_id, now_s)

    def _is_full(self) -> bool:
        return self._max_queue is not None and len(self._where) >= self._max_queue

    def _fits(self, ticket: Ticket, now_s: float) -> bool:
        bounded = self.bound is not None and len(self._inside) >= self.bound
        return not bounded and self._limit.admits(ticket, self.load(now_s))

    def _enter(self, ticket: Ticket, now_s: float) -> None:
        self.usage.moved(now_s, len(self._inside), len(self._where), self._reserved)
        self._inside[ticket.id] = _Inside(ticket, now_s, ticket.stream)
        self._prompts += ticket.input_tokens
        self._reserved += ticket.tokens
        self._classes[ticket.priority] += 1
        if ticket.stream:
            self._prefilling += 1
            self._prefilling_tokens += ticket.input_tokens
        self._belongs(ticket, 1)
        if self._accounts is not None:
            self._accounts.entered(ticket, now_s)
        if self._steered is not None or self._shedding is not None:
            load = self.load(now_s)
            if self._steered is not None:
                self._steered.entered(ticket, load)
            if self._shedding is not None:
                self._shedding.entered(ticket, load)

    def _has_read(self, one: _Inside) -> None:
        if one.prefilling:
            one.prefilling = False
            self._prefilling -= 1
            self._prefilling_tokens -= one.ticket.input_tokens

    def _forget(self, ticket_id: str, now_s: float) -> Ticket | None:
        priority = self._where.get(ticket_id)
        if priority is None:
            return None
        self.usage.moved(now_s, len(self._inside), len(self._where), self._reserved)
        del self._where[ticket_id]
        ticket = self._waiting[priority].pop(ticket_id)
        self._requests[priority] -= 1
        self._tokens[priority] = self._tokens[priority] - ticket.tokens if self._requests[priority] else 0.0
        self._belongs(ticket, -1)
        if self._due.pop(ticket_id, None) is not None and len(self._dues) > 2 * len(self._due) + _STALE_DUES:
            self._dues = [(due, name) for name, due in self._due.items()]
            heapq.heapify(self._dues)
        return ticket

    def _belongs(self, ticket: Ticket, sign: int) -> None:
        requests, tokens = self._tenants.get(ticket.tenant, (0, 0.0))
        if requests + sign:
            self._tenants[ticket.tenant] = (requests + sign, tokens + sign * ticket.tokens)
        else:
            self._tenants.pop(ticket.tenant, None)

    def _seen_by(self, ticket: Ticket, now_s: float) -> Waiting:
        of_tenant = self._tenants.get(ticket.tenant, (0, 0.0))
        return Waiting(self.load(now_s), self._waiting_by_class, self._tokens_by_class, *of_tenant)

    def _victim(self, ticket: Ticket, waiting: Waiting) -> Ticket | None:
        if self._shedding is None:
            return None
        priority = self._shedding.gives_way(ticket, waiting)
        if priority is None or not self._waiting[priority]:
            return None
        return next(reversed(self._waiting[priority].values()))
