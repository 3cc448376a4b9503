"""Batch formers that batching.py compares with. None of them ships."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from forebay.middleware.admission.tickets import Formed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.middleware.admission.tickets import Ticket


class Timed:
    """Triton's and TF-Serving's: a batch of the preferred size, or what there is once the oldest waited so long.

    Size 1 is no batching; delay 0 takes all who wait, up to the size (today's embedders).
    """

    def __init__(self, size: int, delay_s: float) -> None:
        self._size = size
        self._delay_s = delay_s
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()

    def push(self, ticket: Ticket) -> None:
        self._waiting.setdefault(ticket.id, ticket)

    def form(self, now_s: float) -> Formed:
        if not self._waiting:
            return Formed()
        due_s = next(iter(self._waiting.values())).enqueued_s + self._delay_s
        if len(self._waiting) < self._size and now_s < due_s:
            return Formed(ask_again_s=due_s)
        count = min(self._size, len(self._waiting))
        return Formed(tuple(self._waiting.popitem(last=False)[1] for _ in range(count)))

    def remove(self, ticket_id: str) -> bool:
        return self._waiting.pop(ticket_id, None) is not None

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        """It learns nothing."""

    def __len__(self) -> int:
        return len(self._waiting)
