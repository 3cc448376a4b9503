"""The blocks of the prompts that an engine read last, as its prefix cache may still hold them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class RecentBlocks:
    """Remembers the names of the latest blocks.

    Of a prompt the first block counts as the latest, so the last are forgotten before those that they hang on.

    Args:
        capacity: how many are remembered; may be set anew.

    Raises:
        ValueError: not even one would be remembered.
    """

    __slots__ = ("_blocks", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("recent blocks: at least one must be remembered")
        self.capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def add(self, prefix: Sequence[int]) -> tuple[list[int], list[int]]:
        """Remember a prompt's blocks; return those that were not there, and those that had to go."""
        blocks = self._blocks
        new = [name for name in prefix if name not in blocks]
        for name in reversed(prefix):
            blocks[name] = None
            blocks.move_to_end(name)
        gone = [blocks.popitem(last=False)[0] for _ in range(len(blocks) - self.capacity)]
        return new, gone

    def shared(self, prefix: Sequence[int]) -> int:
        """Return how many of the first blocks are remembered."""
        for at, name in enumerate(prefix):
            if name not in self._blocks:
                return at
        return len(prefix)
