"""The admit stop in front of a simulated engine: the very queue and policies of production."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ...middleware.admission.queue import AdmissionQueue, Place
from ...middleware.admission.tickets import Served

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket


class Tickets(Protocol):
    """The jobs' tickets by number: a list, or what makes each when its job comes, for which it is asked once."""

    def __getitem__(self, job: int, /) -> Ticket:
        """Return a job's ticket."""
        ...


class Outputs(Protocol):
    """The tokens that each job really makes, by its number."""

    def __getitem__(self, job: int, /) -> int:
        """Return how many."""
        ...


class QueueGate:
    """Drives an `AdmissionQueue` from a simulation; give it to `simulate`.

    Args:
        tickets: one a job, in the jobs' order; each is its job's number as text by `id`, and came at its `enqueued_s`.
        outputs: tokens that each job really makes, told to the policies when it has ended.
        timeout_s: how long one may wait, as the asyncio gate has it.

    Attributes:
        refused: why each job that was refused was, by its number.
    """

    def __init__(
        self,
        queue: AdmissionQueue,
        tickets: Tickets,
        outputs: Outputs,
        *,
        timeout_s: float = math.inf,
    ) -> None:
        self.queue = queue
        self.refused: dict[int, str] = {}
        self._tickets = tickets
        self._outputs = outputs
        self._timeout_s = timeout_s
        self._due: deque[tuple[float, int]] = deque()  # all wait equally long, so the first to come is the first to go
        self._known: dict[int, Ticket] = {}
        self._let_in: list[int] = []
        self._entered: dict[int, float] = {}
        self._first: dict[int, float] = {}

    def arrived(self, job: int, now_s: float) -> None:
        """Note that a job has come."""
        ticket = self._known[job] = self._tickets[job]
        place, gone = self.queue.arrive(ticket, now_s)
        for victim, refusal in gone:
            self._refuse(int(victim.id), refusal.reason)
        if place is Place.INSIDE:
            self._let_in.append(job)
        elif place is not Place.WAITING:
            self._refuse(job, place.reason)
        elif self._timeout_s < math.inf:
            self._due.append((now_s + self._timeout_s, job))

    def take(self, now_s: float) -> int | None:
        """Return the job that enters now, None where nobody may."""
        for ticket, refusal in self.queue.put_out(now_s):
            self._refuse(int(ticket.id), refusal.reason)
        while self._due and self._due[0][0] <= now_s:
            late = self._due.popleft()[1]
            if self.queue.waits(str(late)):
                self.queue.leave(str(late), now_s)
                self._refuse(late, "queue_timeout")
        if self._let_in:
            job = self._let_in.pop()
        else:
            admitted = self.queue.admit(now_s)
            if admitted is None:
                return None
            job = int(admitted.id)
        self._entered[job] = now_s
        return job

    def first_token(self, job: int, now_s: float) -> None:
        """Note a job's first token."""
        self._first[job] = now_s
        self.queue.first_token(str(job), now_s)

    def ended(self, job: int, now_s: float) -> None:
        """Note a job's end."""
        ticket = self._known.pop(job)
        self.queue.exit(ticket.id, now_s)
        times = (self._entered.pop(job), self._first.pop(job, None), now_s)
        self.queue.learn(Served(ticket, *times, ticket.input_tokens, self._outputs[job]))

    def _refuse(self, job: int, reason: str) -> None:
        del self._known[job]
        self.refused[job] = reason
