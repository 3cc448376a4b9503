"""What keeps an ordering from letting anybody wait for ever."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket


class Guard:
    """Every so many-th that is let in is one who has waited too long.

    Args:
        every: of how many let in one is such, at least 1.
        patience_s: how long nobody is helped.

    Attributes:
        patience_s: as given.
        due: the next one let in is to be the one who has waited too long, if there is one.

    Raises:
        ValueError: `every` is below 1, or the patience negative or not a number.
    """

    __slots__ = ("_every", "_helped", "_since", "patience_s")

    def __init__(self, every: int, patience_s: float = 0.0) -> None:
        if every < 1:
            raise ValueError("ordering: every must be at least 1")
        if math.isnan(patience_s) or patience_s < 0:
            raise ValueError("ordering: patience must be a number of seconds, 0 or more")
        self.patience_s = patience_s
        self._every = every
        self._since = 0  # let in since one was helped
        self._helped: str | None = None

    @property
    def due(self) -> bool:
        """Whether it is the turn of one who has waited too long."""
        return self._since >= self._every - 1

    def helps(self, ticket: Ticket | None, now_s: float) -> Ticket | None:
        """Return the oldest who waits, where it is its turn; None where it is not."""
        if ticket is None or not self.due or ticket.enqueued_s + self.patience_s > now_s:
            return None
        return self.help(ticket)

    def help(self, ticket: Ticket) -> Ticket:
        """Return a ticket that is taken for having waited too long."""
        self._helped = ticket.id
        return ticket

    def entered(self, ticket: Ticket) -> None:
        """Count one that was let in."""
        if ticket.id == self._helped:
            self._since, self._helped = 0, None
        else:
            self._since += 1
