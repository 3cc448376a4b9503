"""How large batches may be by now: sizes are tried one after another, and no further than they can pay. Pure."""

from __future__ import annotations

from typing import Final

_STEP: Final = 4
_ALONE: Final = 4
_PAYS: Final = 1.1
_SLOW: Final = 0.95
_TRIES: Final = 2
_BLEND: Final = 0.2
_STALE: Final = 512


class Ladder:
    """The sizes an engine has been measured at: 1, 2, 8, 32, ... up to the largest.

    A size is tried as soon as so many wait, after four members were run alone. It stays open while a batch of it is not slower a request
    than one by one even if all its members were as long as the longest. Where it is slower, it is closed with all above it; after 512
    batches it is tried again, and then after twice as many.

    Args:
        most: the largest size there may be.
    """

    def __init__(self, most: int) -> None:
        steps = [1]
        while steps[-1] < most:
            steps.append(min(most, _STEP * steps[-1] if len(steps) > 1 else 2))
        self._steps = steps
        self._gains = [0.0] * len(steps)
        self._open = 0
        self._tries = 0
        self._closed_for = 0
        self._stale = _STALE

    @property
    def size(self) -> int:
        """The largest size that was measured and may run."""
        return self._steps[max(0, self._open - 1)]

    def trial(self, waiting: int) -> int:
        """Return the size to measure now, 0 for none."""
        if self._closed_for or self._open == len(self._steps) or waiting < self._steps[self._open]:
            return 0
        return self._steps[self._open]

    def ran(self, size: int, gain: float) -> None:
        """Note a measured batch.

        Args:
            gain: seconds that so many of the longest would have taken alone, over what the batch took.
        """
        self._closed_for = max(0, self._closed_for - 1)
        if self._open < len(self._steps) and not self._closed_for and size >= self._steps[self._open]:
            self._tried(gain)
        elif self._open > 1 and size > self._steps[self._open - 2]:
            top = self._open - 1
            self._gains[top] += _BLEND * (gain - self._gains[top])
            if self._gains[top] < 1:
                self._open = top
                self._close()

    def _tried(self, gain: float) -> None:
        self._tries += 1
        mean = self._gains[self._open] = self._gains[self._open] + (gain - self._gains[self._open]) / self._tries
        if self._open == 0:
            if self._tries < _ALONE:
                return
        elif mean < _PAYS:
            if self._tries == _TRIES or mean < _SLOW:
                self._close()
            return
        self._open += 1
        self._tries = 0

    def _close(self) -> None:
        self._closed_for, self._stale = self._stale, 2 * self._stale
        self._tries = 0
