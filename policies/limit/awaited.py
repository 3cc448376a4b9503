"""Whether an engine queues inside: whether first tokens come later than reading prompts explains."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

_OPEN: Final = 8_192
_SLACK_S: Final = 0.2
_RECENT: Final = 64
_LONGEST_WAY_S: Final = 0.5
_STUCK_S: Final = 5.0


class Awaited:
    """The streams inside that have had no token yet, as they entered.

    An engine reads prompts as they come, so who is still waiting when a later one has had its first token is not kept from it by
    a queue, and is forgotten, as is one that is 5 s overdue: a stream that hangs must not keep all others out. What even the fastest of the last 64 took more than expected, at most half a second, is the way to
    the engine.

    Attributes:
        room: how many may be inside: as many as decoded when one had its first token too late, and one more with each that had
            it in time.
    """

    def __init__(self) -> None:
        self.room = math.inf
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._more: deque[float] = deque(maxlen=_RECENT)
        self._way_s = 0.0

    def entered(self, name: str, now_s: float, expected_s: float) -> None:
        """Note one that entered, and how long reading all prompts before it and its own takes."""
        self._waiting[name] = now_s + expected_s
        if len(self._waiting) > _OPEN:
            self._waiting.popitem(last=False)

    def left(self, name: str) -> None:
        """Note that one has left."""
        self._waiting.pop(name, None)

    def read(self, name: str, now_s: float, decoding: int) -> None:
        """Note the first token of one, and how many decode now."""
        if name not in self._waiting:
            return
        more_s = now_s - self._waiting[name]
        self.room = max(decoding, 1) if more_s > self._way_s + _SLACK_S else self.room + 1
        self._more.append(more_s)
        self._way_s = min(max(0.0, min(self._more)), _LONGEST_WAY_S)
        while self._waiting.popitem(last=False)[0] != name:
            pass

    def overdue(self, now_s: float) -> bool:
        """Return whether the first of them should have had its first token .2 s ago: it waits for a place inside."""
        while self._waiting:
            name, due_s = next(iter(self._waiting.items()))
            over_s = now_s - due_s - self._way_s - _SLACK_S
            if over_s <= _STUCK_S:
                return over_s > 0
            del self._waiting[name]
        return False
