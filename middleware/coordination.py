"""What the workers of one deployment tell each other.

A worker is a process that serves requests. `Coordination` (see protocols) is what they agree through; the
records here are what it hands over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .records import Selector


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that serves.

    Attributes:
        name: unique among the workers, also of other machines.
        about: where it keeps its answers, for people.
    """

    name: str
    pid: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Roster:
    """Who works beside this process.

    Attributes:
        workers: all that live, this one included, in an order that is the same for all.
        rank: this process's place in that order; 0 where it does not serve.
        shareable: whether places are meant to be claimed across workers; if not, they are divided.
        shared: whether that works right now; while it does not, they are divided.
    """

    workers: tuple[Worker, ...] = ()
    rank: int = 0
    shareable: bool = False
    shared: bool = False

    def part_of(self, places: int) -> int:
        """Return this worker's part of so many places: equal parts, the rest to the first, and at least 1."""
        count = max(1, len(self.workers))
        return max(1, places // count + (self.rank < places % count))


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of a claim.

    Attributes:
        granted: the place is held until it is released.
        left: what the last holder left: an answer, or "" for none; None where it left nothing.
    """

    granted: bool
    left: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling the other workers to forget.

    Attributes:
        workers: how many were told.
        answered: how many of them have done it in time.
        dropped: how many entries that were, together.
    """

    workers: int = 0
    answered: int = 0
    dropped: int = 0


class Listener(Protocol):
    """The process, as its coordination sees it."""

    async def forget(self, selector: Selector) -> int:
        """Forget what matches, on behalf of another worker; return how many entries that were."""
        ...

    def changed(self, roster: Roster) -> None:
        """The roster is another now."""
        ...

    def about(self) -> str:
        """Say where this process keeps its answers."""
        ...
