"""The blocks of a simulated engine's KV cache."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDLESS = 1 << 62


@dataclass(slots=True, eq=False)
class Given:
    """Blocks given back together, of which nobody has taken `left` yet: the first of their owner, the last being taken first.

    Attributes:
        name: of the one block, where others can use what it holds; None where only the owner can.
    """

    left: int
    name: int | None = None


class BlockPool:
    """Counts the blocks in use, and which of those given back still hold what was computed.

    A block whose contents others can use, too, has a name; it is in use as long as somebody uses it.

    Args:
        size: how many there are, None for as many as are asked for.
        keeps: blocks given back can be had again until somebody takes them (a prefix cache): by their owner, by anybody where
            they have names. Without it there are no names.

    Attributes:
        size, free: all, and those nobody uses.
    """

    def __init__(self, size: int | None, *, keeps: bool) -> None:
        self.size = self.free = _ENDLESS if size is None else size
        self._keeps = keeps
        self._evicts = keeps and size is not None
        self._given = deque([Given(self.free)])  # in the order in which they are taken
        self._held: dict[int, int] = {}  # how many use a named block
        self._idle: dict[int, Given] = {}  # named blocks that nobody uses

    @property
    def used(self) -> int:
        """Blocks in use."""
        return self.size - self.free

    def take(self, blocks: int) -> None:
        """Take so many free ones, those that were given back first; there must be as many."""
        self.free -= blocks
        while blocks and self._evicts:
            oldest = self._given[0]
            some = min(blocks, oldest.left)
            oldest.left -= some
            blocks -= some
            if not oldest.left:
                self._given.popleft()
                if some and oldest.name is not None:
                    del self._idle[oldest.name]

    def give(self, blocks: int, names: Sequence[int] = ()) -> Given:
        """Give so many back, the first of them named, and return those without a name."""
        given = Given(blocks - len(names))
        gone = [given]
        for name in reversed(names):
            users = self._held[name] - 1
            if users:
                self._held[name] = users
            else:
                del self._held[name]
                self._idle[name] = idle = Given(1, name)
                gone.append(idle)
        self.free += given.left + len(gone) - 1
        if self._evicts:
            self._given.extend(gone)
        return given

    def recall(self, given: Given, most: int) -> int:
        """Take back what is left of one's own blocks, at most so many, and return how many those are."""
        blocks = min(given.left, most) if self._keeps else 0
        given.left -= blocks
        self.free -= blocks
        return blocks

    def find(self, names: Sequence[int]) -> tuple[int, int]:
        """Return how many of the first of these blocks are there, and how many of those somebody uses."""
        there = held = 0
        for name in names:
            if name in self._held:
                held += 1
            elif name not in self._idle:
                break
            there += 1
        return there, held

    def share(self, names: Sequence[int]) -> None:
        """Use named blocks that are there."""
        for name in names:
            if (idle := self._idle.pop(name, None)) is not None:
                idle.left = 0
                self.free -= 1
            self._held[name] = self._held.get(name, 0) + 1

    def name(self, names: Sequence[int]) -> int:
        """Name blocks one has taken, and return how many: up to the first name that another block has."""
        held, idle = self._held, self._idle
        for at, name in enumerate(names):
            if name in held or name in idle:
                return at
            held[name] = 1
        return len(names)
