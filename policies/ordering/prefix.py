"""Whose prompt begins like one that was just let in, first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ..fingerprint.recent import RecentBlocks
from .guard import Guard
from .lazy_heap import LazyHeap

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Served, Ticket


class Prefix:
    """Of the oldest `window`, the one whose prompt shares the most blocks with those let in of late is next.

    Where several share as many, the oldest of them.

    Bound on waiting: a ticket is let in after at most ``skips * (n + 1)`` others, n being those waiting who came before it: every
    `skips`-th that is let in is the oldest. What is shared is not looked for anew with each decision: a ticket hears of
    it when the last block that it shares is forgotten, or the next one let in.

    Args:
        blocks: that are remembered: about as many as the engine's prefix cache holds.
        window: how many of the oldest are looked at.
        skips: of the bound.

    Raises:
        ValueError: a setting is below 1.
    """

    def __init__(self, *, blocks: int = 8_000, window: int = 256, skips: int = 64) -> None:
        if window < 1:
            raise ValueError("ordering: the window must hold at least one ticket")
        if blocks < 1:
            raise ValueError("ordering: at least one block must be remembered")
        self._recent = RecentBlocks(blocks)
        self._window = window
        self._guard = Guard(skips)
        self._near: OrderedDict[str, tuple[Ticket, int]] = OrderedDict()  # in the window, with their numbers
        self._far: OrderedDict[str, Ticket] = OrderedDict()
        self._best: LazyHeap[str, tuple[int, int]] = LazyHeap()  # by blocks shared, the most first, and number
        self._ears: dict[int, dict[str, None]] = {}  # who hears of a block
        self._number = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._near) + len(self._far)

    def push(self, ticket: Ticket) -> None:
        """Add a ticket; one that is waiting already keeps its place."""
        if ticket.id not in self._near and ticket.id not in self._far:
            self._far[ticket.id] = ticket
            self._fill()

    def peek(self, now_s: float) -> Ticket | None:  # noqa: ARG002 - the protocol hands the time to every ordering
        """Return who is next without taking it out, None where nobody waits."""
        best = self._best.first()
        if best is None:
            return None
        oldest = next(iter(self._near.values()))[0]
        chosen = oldest if self._guard.due else self._near[best[1]][0]
        return self._guard.help(chosen) if chosen is oldest else chosen

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out and return whether it was waiting."""
        if ticket_id not in self._near:
            return self._far.pop(ticket_id, None) is not None
        self._deafen(ticket_id)
        del self._near[ticket_id]
        self._best.discard(ticket_id)
        self._fill()
        return True

    def entered(self, ticket: Ticket, now_s: float) -> None:  # noqa: ARG002 - the protocol's arguments
        """Remember the blocks of one that was let in."""
        self._guard.entered(ticket)
        for names in self._recent.add(ticket.prefix):
            for name in names:
                for listener in list(self._ears.get(name, ())):
                    self._deafen(listener)
                    self._listen(listener)

    def ended(self, served: Served) -> None:
        """Learn nothing: the blocks were there from when it entered."""

    def _fill(self) -> None:
        while self._far and len(self._near) < self._window:
            ticket_id, ticket = self._far.popitem(last=False)
            self._number += 1
            self._near[ticket_id] = ticket, self._number
            self._listen(ticket_id)

    def _listen(self, ticket_id: str) -> None:
        ticket, number = self._near[ticket_id]
        shared = self._recent.shared(ticket.prefix)
        self._best.add(ticket_id, (-shared, number))
        for name in ticket.prefix[max(0, shared - 1) : shared + 1]:
            self._ears.setdefault(name, {})[ticket_id] = None

    def _deafen(self, ticket_id: str) -> None:
        ticket = self._near[ticket_id][0]
        key = self._best.key(ticket_id)
        shared = -key[0]
        for name in ticket.prefix[max(0, shared - 1) : shared + 1]:
            ears = self._ears.get(name, {})
            ears.pop(ticket_id, None)
            if not ears:
                self._ears.pop(name, None)
