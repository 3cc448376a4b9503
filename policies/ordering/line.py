"""Those of one tenant and class who wait."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from .guard import Guard
from .lazy_heap import LazyHeap
from .measure import enter_by_s, length

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket

_LOST: Final = 0.05
_PACE: Final = 1 / 64
_URGENT: Final = 0.5
"""Share of the time that one may wait, left when its deadline goes before anybody's length."""
_SECONDS_A_TOKEN: Final = 0.05
"""Of an answer that is late anyway."""
_AT_ONCE: Final = 32
"""Late ones found with one look: where thousands got late together, nobody waits until all of them have been moved."""


class Losses:
    """Of those of a class who had an objective, which share got late in the queue; over the last 64 or so.

    Who is put out or gives up after that was counted as late before, so an overload shows whether or not anybody is shed.

    Attributes:
        share: as said.
    """

    __slots__ = ("share",)

    def __init__(self) -> None:
        self.share = 0.0

    def note(self, *, late: bool) -> None:
        """Count one that got late, or entered in time."""
        self.share += _PACE * (late - self.share)


class Line:
    """Who is next of one tenant and class.

    Of those who can still enter in time for their objective, the shortest, by predicted length; but the one who must enter first
    once half of the time that it may wait is over: that order loses nobody where nobody need be lost (earliest deadline first).
    Where more than a twentieth of its class got late of late, not all can be in time: then always the shortest of those in
    time. The late ones come behind, in the order in which they would have ended had each begun when it came, at 50 ms a token: of a
    burst the shortest first, and nobody is passed by those who come later than it would have ended. Those without an objective are never late, and
    go by length behind those who have one.

    Bound: who has waited `patience_s` is let in after at most ``every * (m + 1)`` more of this line, m being those of it who
    came before: every `every`-th is the oldest.

    Args:
        every, patience_s: of the bound.
        losses: of the class.
    """

    __slots__ = ("_came", "_dues", "_guard", "_late", "_losses", "_timely")

    def __init__(self, every: int, patience_s: float, losses: Losses) -> None:
        self._losses = losses
        self._guard = Guard(every, patience_s)
        self._came: OrderedDict[str, Ticket] = OrderedDict()
        self._timely: LazyHeap[str, float] = LazyHeap()  # by length
        self._dues: LazyHeap[str, float] = LazyHeap()  # the same ones, by when they must enter
        self._late: LazyHeap[str, float] = LazyHeap()  # by when they would have ended

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._came)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket that is not there."""
        self._came[ticket.id] = ticket
        self._timely.add(ticket.id, length(ticket))
        self._dues.add(ticket.id, enter_by_s(ticket))

    def remove(self, ticket_id: str) -> None:
        """Take out a ticket that is there."""
        del self._came[ticket_id]
        if not self._late.discard(ticket_id):
            self._timely.discard(ticket_id)
            self._dues.discard(ticket_id)

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next, None where nobody waits."""
        if self._guard.due and (helped := self._guard.helps(next(iter(self._came.values()), None), now_s)) is not None:
            return helped
        for _ in range(_AT_ONCE):
            due = self._dues.first()
            if due is None or due[0] >= now_s:
                break
            late = due[1]
            self._dues.discard(late)
            self._timely.discard(late)
            ticket = self._came[late]
            self._late.add(late, ticket.enqueued_s + _SECONDS_A_TOKEN * length(ticket))
            self._losses.note(late=True)
        first = self._dues.first()
        if first is None or self._losses.share > _LOST or not self._urgent(*first, now_s):
            first = self._timely.first() or self._late.first()
        return None if first is None else self._came[first[1]]

    def _urgent(self, due_s: float, name: str, now_s: float) -> bool:
        return due_s < math.inf and due_s - now_s <= _URGENT * (due_s - self._came[name].enqueued_s)

    def entered(self, ticket: Ticket) -> None:
        """Count one of the line that was let in."""
        self._guard.entered(ticket)
