"""How large batches may be by now: sizes are tried one after another, and no further than they pay. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BETTER: Final = 0.98
_SURE: Final = 3
_TRIES: Final = 2
_STALE: Final = 512


class Ladder:
    """The sizes an engine has been measured at: 1, 2, 4, ... up to the largest.

    The next size is open once this one was measured and took at least 2% less a member than the one below. Where it was measured three times and
    did not, it is closed, and all above it; after 512 batches it is tried again.

    Args:
        most: the largest size there may be.
    """

    def __init__(self, most: int) -> None:
        powers = [1]
        while powers[-1] < most:
            powers.append(min(most, 2 * powers[-1]))
        self._steps = powers
        self._top = 0
        self._tries = 0
        self._ceiling = len(powers) - 1
        self._closed_for = 0

    @property
    def size(self) -> int:
        """The largest size that may run."""
        return self._steps[self._top]

    @property
    def untried(self) -> bool:
        """Whether that size has yet to show whether it pays."""
        return self._top < self._ceiling or self._tries < _TRIES

    def ran(self, size: int, each_s: Callable[[int], float]) -> None:
        """Note a measured batch.

        Args:
            each_s: expected seconds a member of a batch of this size.
        """
        if self._closed_for:
            self._closed_for -= 1
            if not self._closed_for:
                self._ceiling = len(self._steps) - 1
        below = self._steps[self._top - 1] if self._top else 0
        if below < size:
            self._tries += 1
            pays = not below or each_s(self.size) < _BETTER * each_s(below)
            if not pays and self._tries >= _SURE:
                while self._top and each_s(self.size) >= _BETTER * each_s(self._steps[self._top - 1]):
                    self._top -= 1
                self._ceiling, self._closed_for = self._top, _STALE
            elif pays and self._tries >= min(_TRIES, self._top + 1) and self._top < self._ceiling:
                self._top += 1
                self._tries = 0
