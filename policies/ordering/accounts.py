"""The virtual token counters of tenants (VTC, Sheng et al., OSDI'24)."""

from __future__ import annotations

import math
from collections import OrderedDict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from .lazy_heap import LazyHeap
from .measure import output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.admission.tickets import Served, Ticket

INPUT_WEIGHT: Final = 1.0
OUTPUT_WEIGHT: Final = 2.0
TENANTS: Final = 10_000
CREDIT_TOKENS: Final = 100_000.0


class Accounts:
    """Who of the tenants that wait has had the least.

    A tenant's counter grows by what is let in of it: one for each prompt token, two for each output token that was predicted,
    divided by its weight; when the real numbers are known, it is put right. A tenant that begins to wait is lifted to the least
    of those who wait (to the last who was let in where nobody waits), less the credit: who asks for little stays ahead of who
    asks for much, and nobody saves up more than that while it asks for nothing. The VTC of the paper has no credit.

    Args:
        weights: of tenants by shell-style pattern, the first that fits counts; 1 where none does.
        capacity: tenants of whom nobody waits that are remembered; those forgotten begin anew, without credit.
        credit: in the unit of the counter: a prompt token, half an output token.

    Raises:
        ValueError: a weight is not above 0, the capacity below 1, or the credit negative or not finite.
    """

    def __init__(self, weights: Mapping[str, float], capacity: int, credit: float = 0.0) -> None:
        if not all(math.isfinite(weight) and weight > 0 for weight in weights.values()):
            raise ValueError("ordering: a tenant's weight must be above 0")
        if capacity < 1:
            raise ValueError("ordering: at least one tenant must be remembered")
        if not (math.isfinite(credit) and credit >= 0):
            raise ValueError("ordering: a tenant's credit must be 0 or more, and finite")
        self._credit = credit
        self._weights = tuple(weights.items())
        self._capacity = capacity
        self._waiting: LazyHeap[str, float] = LazyHeap()  # by their counters
        self._idle: OrderedDict[str, float] = OrderedDict()  # the latest to change last
        self._last = 0.0

    def __len__(self) -> int:
        """Return how many tenants are remembered."""
        return len(self._waiting) + len(self._idle)

    def counter(self, tenant: str) -> float | None:
        """Return a tenant's counter, None where it is not remembered."""
        return self._waiting.key(tenant) if tenant in self._waiting else self._idle.get(tenant)

    def next(self) -> str | None:
        """Return who of those that wait has had the least, None where nobody waits."""
        first = self._waiting.first()
        return None if first is None else first[1]

    def begins(self, tenant: str) -> None:
        """Note that a tenant has somebody waiting now, and had nobody."""
        counter = self._lifted(tenant)
        self._idle.pop(tenant, None)
        self._waiting.add(tenant, counter)

    def ends(self, tenant: str) -> None:
        """Note that nobody of a tenant waits any more."""
        counter = self._waiting.key(tenant)
        self._waiting.discard(tenant)
        self._set(tenant, counter)

    def entered(self, ticket: Ticket) -> None:
        """Charge a tenant for what was let in."""
        tenant = ticket.tenant
        counter = self._waiting.key(tenant) if tenant in self._waiting else self._lifted(tenant)
        self._last = counter + self._charge(tenant, ticket.input_tokens, output(ticket))
        self._set(tenant, self._last)

    def ended(self, served: Served) -> None:
        """Put the charge right; what the engine did not count is left as it was predicted."""
        ticket = served.ticket
        counter = self.counter(ticket.tenant)
        if counter is None or not (served.input_tokens or served.output_tokens):
            return
        more_input = served.input_tokens - ticket.input_tokens if served.input_tokens else 0
        more_output = served.output_tokens - output(ticket)
        self._set(ticket.tenant, counter + self._charge(ticket.tenant, more_input, more_output))

    def _charge(self, tenant: str, input_tokens: float, output_tokens: float) -> float:
        weight = next((weight for pattern, weight in self._weights if fnmatchcase(tenant, pattern)), 1.0)
        return (INPUT_WEIGHT * input_tokens + OUTPUT_WEIGHT * output_tokens) / weight

    def _lifted(self, tenant: str) -> float:
        least = self._waiting.first()
        level = self._last if least is None else least[0]
        return max(self._idle.get(tenant, level), level - self._credit)

    def _set(self, tenant: str, counter: float) -> None:
        if tenant in self._waiting:
            self._waiting.add(tenant, counter)
            return
        self._idle[tenant] = counter
        self._idle.move_to_end(tenant)
        if len(self._idle) > self._capacity:
            self._idle.popitem(last=False)
