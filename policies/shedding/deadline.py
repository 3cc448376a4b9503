"""Refuses what would wait in vain: beyond the queue's bounds, and, where it may, what cannot be in time any more."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ...middleware.admission.tickets import Refusal
from ...middleware.analysis.facts import Priority
from .flow import Flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.admission.tickets import Load, Ticket, Waiting

SHARES: Final[Mapping[Priority, float]] = MappingProxyType(
    {Priority.INTERACTIVE: 1.0, Priority.STANDARD: 0.9, Priority.BATCH: 0.75, Priority.BACKGROUND: 0.5}
)
OVERTAKING: Final = 2.0
GRACE: Final = 1.25
_LEAST_S: Final = 1.0
_MOST_S: Final = 60.0
_STALLED_S: Final = 10.0
_URGENT_FIRST: Final = tuple(Priority)


class DeadlineShedding:
    """Bounds the queue, and refuses who cannot be in time.

    Bounds: a class finds no room where as many wait, in requests or tokens, as its share of the queue; more urgent classes have
    larger shares, and before one of them is refused for that, the latest of the least urgent ones is put out. One tenant has at
    most its share of the queue, those inside included.

    With `by_objective`, besides: who would wait, at the rate at which the queue moves and behind all of its class and more
    urgent ones, for more than `overtaking` times what its objective leaves, is refused at once; and who has waited for `grace`
    times what its objective leaves is put out. Both are above 1 since an ordering by length lets short requests overtake, and
    since it goes by who is late already. A caller's own deadline is taken as it is.

    Refusals are 429, or 503 where nobody was let in for 10 s, and say when there will be room: the excess over the rate, from
    1 to 60 s. Every answer is O(1).

    Args:
        max_requests, max_tokens: that may wait; tokens are prompts and predicted outputs.
        shares: of both, by priority class; those not given as in `SHARES`.
        tenant_share: of `max_requests` and `max_tokens` for one tenant.
        by_objective: as above.
        overtaking, grace: as above, at least 1.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        *,
        max_requests: int = 1_000,
        max_tokens: float = math.inf,
        shares: Mapping[Priority, float] = SHARES,
        tenant_share: float = 1.0,
        by_objective: bool = False,
        overtaking: float = OVERTAKING,
        grace: float = GRACE,
    ) -> None:
        if max_requests < 1 or not max_tokens >= 1:
            raise ValueError("max_requests and max_tokens must be at least 1")
        if not all(0 < share <= 1 for share in (*shares.values(), tenant_share)):
            raise ValueError("shares must be above 0 and at most 1")
        if not (overtaking >= 1 and grace >= 1):
            raise ValueError("overtaking and grace must be at least 1")
        shares = {**SHARES, **shares}
        self._requests = {name: max(1.0, shares[name] * max_requests) for name in Priority}
        self._tokens = {name: shares[name] * max_tokens for name in Priority}
        self._tenant = max(1.0, tenant_share * max_requests), tenant_share * max_tokens, tenant_share < 1
        self._by_objective = by_objective
        self._overtaking = overtaking
        self._grace = grace
        self._flow = Flow()

    def refuse(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        """Return None where a ticket that would have to wait may do so."""
        return self._in_vain(ticket, waiting) or self._no_room(ticket, waiting)

    def gives_way(self, ticket: Ticket, waiting: Waiting) -> Priority | None:
        """Return the least urgent class of which somebody waits, where it is below the ticket's and its leaving makes room."""
        if self._in_vain(ticket, waiting) is not None:
            return None
        for name in reversed(_URGENT_FIRST):
            if name is ticket.priority:
                return None
            if waiting.requests.get(name):
                return name
        return None

    def patience_s(self, ticket: Ticket) -> float:
        """Return how long after its arrival a ticket still waits: infinite where objectives don't count, or it has none."""
        if not self._by_objective:
            return math.inf
        deadline_s = math.inf if ticket.deadline_s is None else ticket.deadline_s - ticket.enqueued_s
        return max(0.0, min(self._grace * _leaves_s(ticket), deadline_s - (ticket.first_s or 0.0)))

    def late(self, ticket: Ticket, waiting: Waiting) -> Refusal:
        """Return why a ticket that has waited so long is put out, and when one like it would have been in time."""
        return self._refusal("too_late", waiting, self._wait_s(ticket, waiting) - _leaves_s(ticket))

    def entered(self, ticket: Ticket, load: Load) -> None:  # noqa: ARG002 - the protocol's arguments
        """Note a ticket that was let in."""
        self._flow.entered(load)

    def _in_vain(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        """Return why it would wait in vain whoever gave way."""
        most, tokens, quota = self._tenant
        if quota and waiting.tenant_requests >= most:
            return self._refusal("tenant_quota", waiting, self._flow.seconds(waiting.tenant_requests - most + 1))
        if quota and waiting.tenant_requests and waiting.tenant_tokens + ticket.tokens > tokens:
            return self._refusal("tenant_quota", waiting, self._flow.seconds(1))
        if self._by_objective:
            left_s, wait_s = _leaves_s(ticket), self._wait_s(ticket, waiting)
            gone_s = ticket.first_s or 0.0
            given_up = ticket.deadline_s is not None and waiting.load.now_s + gone_s > ticket.deadline_s
            if wait_s > self._overtaking * left_s or given_up:
                return self._refusal("too_late", waiting, wait_s - left_s)
        return None

    def _no_room(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        requests, most = waiting.load.queued, self._requests[ticket.priority]
        if requests >= most:
            return self._refusal("queue_full", waiting, self._flow.seconds(requests - most + 1))
        tokens, bound = sum(waiting.tokens.values()), self._tokens[ticket.priority]
        if requests and tokens + ticket.tokens > bound:
            excess = (tokens + ticket.tokens - bound) / max(tokens, 1.0)
            return self._refusal("queue_full", waiting, self._flow.seconds(excess * requests))
        return None

    def _wait_s(self, ticket: Ticket, waiting: Waiting) -> float:
        """Return how long the queue takes to move past those of its class and of more urgent ones."""
        ahead = 0
        for name in _URGENT_FIRST:
            ahead += waiting.requests.get(name, 0)
            if name is ticket.priority:
                break
        return self._flow.seconds(ahead)

    def _refusal(self, reason: str, waiting: Waiting, after_s: float) -> Refusal:
        stalled = waiting.load.now_s - self._flow.last_s > _STALLED_S
        return Refusal(reason, 503 if stalled else 429, min(max(after_s, _LEAST_S), _MOST_S))


def _leaves_s(ticket: Ticket) -> float:
    """Return how long a ticket may wait for its objective to be met, from its arrival."""
    first_s, total_s = ticket.objective.ttft_s, ticket.objective.total_s
    by_first_s = math.inf if first_s is None or not ticket.stream else first_s - (ticket.first_s or 0.0)
    by_end_s = math.inf if total_s is None else total_s - (ticket.seconds or 0.0)
    return max(0.0, min(by_first_s, by_end_s))
