"""Highest response ratio next, for comparison: ratio = 1 + waited / service, as SGLang's hrrn has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Ticket

SECONDS_PER_TOKEN = 0.02
BASE_S = 0.05


class HRRN:
    """Who has waited the longest for its predicted time in the engine. All ratios move with time, so each decision is O(n)."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}

    def push(self, ticket: Ticket) -> None:
        self._tickets[ticket.id] = ticket

    def peek(self, now_s: float) -> Ticket | None:
        def ratio(ticket: Ticket) -> float:
            service_s = SECONDS_PER_TOKEN * (ticket.output_tokens + 0.05 * ticket.input_tokens) + BASE_S
            return (now_s - ticket.enqueued_s) / service_s

        return max(self._tickets.values(), key=ratio, default=None)

    def remove(self, ticket_id: str) -> bool:
        return self._tickets.pop(ticket_id, None) is not None

    def __len__(self) -> int:
        return len(self._tickets)
