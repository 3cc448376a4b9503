"""Protocols of the admit stop: who is next, how much may be inside, who is refused, what makes a batch, which engine takes it.

All are pure and fast: they run on the event loop for every request, the time comes with the argument, and the simulator of
``forebay lab scheduling`` runs the very same objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.facts import Priority
    from .tickets import Formed, Load, Placed, Refusal, Replica, Served, Ticket, Waiting


@runtime_checkable
class Ordering(Protocol):
    """The queue's order: who is next."""

    def push(self, ticket: Ticket) -> None:
        """Add a waiting ticket."""
        ...

    def peek(self, now_s: float) -> Ticket | None:
        """Return who is next without taking it out, None where nobody waits."""
        ...

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out: it was let in, or its caller left. Return whether it was waiting."""
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...


@runtime_checkable
class Accounting(Protocol):
    """An ordering that keeps account of what was served to whom."""

    def entered(self, ticket: Ticket, now_s: float) -> None:
        """Note a ticket that was let in; it may never have been pushed, where there was room at once."""
        ...

    def ended(self, served: Served) -> None:
        """Note what it took in the end. Comes at most once for each that entered, after it has left."""
        ...


@runtime_checkable
class Limit(Protocol):
    """How much may be inside the engine."""

    def admits(self, ticket: Ticket, load: Load) -> bool:
        """Return whether this ticket may go in now. Asked again whenever somebody leaves or has a first token."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A limit that is a number of requests: workers can divide it, or share it."""

    @property
    def places(self) -> int:
        """How many may be inside, at least 1."""
        ...


@runtime_checkable
class Steered(Protocol):
    """A limit that learns from what becomes of those that it let in."""

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Note a ticket that was let in; the load counts it."""
        ...

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Note a stream's first token."""
        ...

    def ended(self, served: Served, load: Load) -> None:
        """Note what became of one. Comes at most once for each that entered, after it has left."""
        ...


@runtime_checkable
class Shedding(Protocol):
    """Who is refused instead of waiting."""

    def refuse(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        """Return None where a ticket that would have to wait may do so."""
        ...

    def gives_way(self, ticket: Ticket, waiting: Waiting) -> Priority | None:
        """Return the class of which the latest to come is put out of the queue for a ticket that is to be refused, or None."""
        ...

    def patience_s(self, ticket: Ticket) -> float:
        """Return how long after its arrival a ticket still waits, infinite for as long as the queue's own bound."""
        ...

    def late(self, ticket: Ticket, waiting: Waiting) -> Refusal:
        """Return why a ticket that has waited so long is put out."""
        ...

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Note a ticket that was let in, so that the rate is known at which the queue moves."""
        ...


@runtime_checkable
class Placement(Protocol):
    """Which of several engines that answer alike takes a request."""

    def place(self, ticket: Ticket, replicas: Sequence[Replica]) -> Placed:
        """Choose one of those given, at least one, and remember that its prompt was sent there."""
        ...


@runtime_checkable
class BatchFormer(Protocol):
    """Which waiting members make the next batch of an engine that wants whole batches, and when."""

    def push(self, ticket: Ticket) -> None:
        """Add a waiting member."""
        ...

    def form(self, now_s: float) -> Formed:
        """Take out and return the members of a batch to run now, or say when to ask again. Only asked while the engine is free."""
        ...

    def remove(self, ticket_id: str) -> bool:
        """Take a member out whose caller left; return whether it was waiting."""
        ...

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        """Note how long the engine took for a batch.

        The members are those that were formed, in `Ticket.output_tokens` with their answers' real tokens where those are known.
        """
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...
