"""Records of the admit stop: who waits, what is inside, what became of them, and why one was refused.

Times ending in ``_s`` that are moments are on one monotonic clock, the one of `Ticket.enqueued_s`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (plugin authors read the annotations)
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ..analysis.facts import Priority

NOBODY: Final[Mapping[Priority, int]] = MappingProxyType({})


def _nobody() -> Mapping[Priority, int]:
    return NOBODY


@dataclass(frozen=True, slots=True)
class Objective:
    """What a request of one priority class shall be answered within; None is no objective.

    Attributes:
        ttft_s: from arrival to the first token, the queue included; only of streams.
        tpot_s: for each token after the first; only of streams.
        total_s: from arrival to the end.
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    total_s: float | None = None

    def met(self, *, ttft_s: float | None, tpot_s: float | None, total_s: float) -> bool:
        """Return whether a request met it; what could not be measured does not count against it."""
        pairs = ((self.ttft_s, ttft_s), (self.tpot_s, tpot_s), (self.total_s, total_s))
        return all(limit is None or seen is None or seen <= limit for limit, seen in pairs)


NO_OBJECTIVE: Final = Objective()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request waiting to be let into the engine.

    Attributes:
        output_tokens, output_tokens_q90: predicted, 0 where nothing was.
        seconds: predicted time in the engine, None where nothing was; `first_s`: of those, until the first token.
        deadline_s: when its caller gives up; None where unknown.
        stream: its first token will be seen.
        objective: what it shall be answered within.
        prefix: names of the prompt's first blocks, each of all that lies before its end: two prompts share as many blocks as
            their chains agree in.
    """

    id: str
    tenant: str
    enqueued_s: float
    input_tokens: int = 0
    output_tokens: float = 0.0
    output_tokens_q90: float = 0.0
    seconds: float | None = None
    first_s: float | None = None
    priority: Priority = Priority.STANDARD
    deadline_s: float | None = None
    stream: bool = False
    objective: Objective = NO_OBJECTIVE
    prefix: tuple[int, ...] = ()

    @property
    def tokens(self) -> float:
        """Prompt and predicted output: what it will hold of the KV cache."""
        return self.input_tokens + self.output_tokens

    @property
    def first_by_s(self) -> float:
        """When its first token is due, or its caller gives up; infinite where nobody said."""
        due = math.inf if self.objective.ttft_s is None else self.enqueued_s + self.objective.ttft_s
        return due if self.deadline_s is None else min(due, self.deadline_s)


@dataclass(frozen=True, slots=True)
class Load:
    """What is inside an engine and in front of it.

    Attributes:
        inflight, queued: requests inside and waiting.
        inflight_tokens: prompt tokens of those inside; `reserved_tokens`: with the output that was predicted for them.
        prefilling, prefilling_tokens: streams inside that have had no token yet, and their prompts.
        classes: how many are inside, by priority class.
        now_s: when this was so.
    """

    inflight: int
    queued: int
    inflight_tokens: int = 0
    reserved_tokens: float = 0.0
    prefilling: int = 0
    prefilling_tokens: int = 0
    classes: Mapping[Priority, int] = field(default_factory=_nobody)
    now_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a ticket that was let in.

    Attributes:
        entered_s, first_token_s, ended_s: the first token only of streams.
        input_tokens, output_tokens: as the engine counted them; 0 where it did not say.
        complete: the engine came to a clean end; False: failed or cancelled.
    """

    ticket: Ticket
    entered_s: float
    first_token_s: float | None
    ended_s: float
    input_tokens: int = 0
    output_tokens: int = 0
    complete: bool = True

    @property
    def ttft_s(self) -> float | None:
        """From arrival to the first token, the queue included; None where it was not seen."""
        return None if self.first_token_s is None else self.first_token_s - self.ticket.enqueued_s

    @property
    def ttft_inside_s(self) -> float | None:
        """From entering to the first token; None where it was not seen."""
        return None if self.first_token_s is None else self.first_token_s - self.entered_s

    @property
    def tpot_s(self) -> float | None:
        """For each token after the first; None where there is none, or the first was not seen."""
        if self.first_token_s is None or self.output_tokens < 2:  # noqa: PLR2004
            return None
        return (self.ended_s - self.first_token_s) / (self.output_tokens - 1)

    @property
    def met(self) -> bool:
        """Whether it came to a clean end within its objective."""
        objective = self.ticket.objective
        total_s = self.ended_s - self.ticket.enqueued_s
        return self.complete and objective.met(ttft_s=self.ttft_s, tpot_s=self.tpot_s, total_s=total_s)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a ticket finds that comes now.

    Attributes:
        load: inside and in front.
        requests, tokens: waiting, by priority class; tokens are prompt and predicted output.
        tenant_requests, tenant_tokens: waiting and inside, of the ticket's own tenant.
    """

    load: Load
    requests: Mapping[Priority, int]
    tokens: Mapping[Priority, float]
    tenant_requests: int = 0
    tenant_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Replica:
    """One of several engines that answer alike, as a request finds it.

    Attributes:
        id: its lane.
        inside: requests in it and in front of it, whoever sent them.
        ahead: prompt tokens that it has still to read for them.
        kv_tokens: how many its prefix cache holds, 0 where it has none; None where nobody knows.
        started_s: when it was started, by its own clock, 0 where nobody knows: one that was started anew has an empty cache.
    """

    id: str
    inside: int = 0
    ahead: float = 0.0
    kv_tokens: int | None = None
    started_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a request goes.

    Attributes:
        replica: the id.
        tokens: of its prompt that must be read there: the prefix cache is thought to have the others.
    """

    replica: str
    tokens: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not let in.

    Attributes:
        reason: bounded label, for example ``queue_full``.
        status: HTTP status: 429 where the caller can do something about it, 503 where nobody is let in.
        retry_after_s: when it is worth trying again, in seconds from now.
    """

    reason: str
    status: int = 429
    retry_after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Formed:
    """What a batch former says: the members of a batch to run now, or none, and then when to ask again at the latest."""

    members: tuple[Ticket, ...] = ()
    ask_again_s: float = math.inf
