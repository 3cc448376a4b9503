"""Netflix concurrency-limits' Gradient2: a limit by how far short-term latency is above the long-term one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Load, Served, Ticket

_WINDOW_S = 1.0
_SAMPLES = 10
_LONG = 600
_WARM = 10


class Gradient2:
    """g = clamp(1.5 * long / short, .5, 1); limit = .8 * limit + .2 * (g * limit + 4), from 20 to 200 where the limit is used.

    `short` is the mean of a window of a second and ten samples at least (its `WindowedLimit`), `long` an exponential mean over
    600 windows. The latency is the time to the first token from entering: the whole answer's depends on its length.
    """

    def __init__(self, start: int = 128) -> None:
        self._limit = float(start)
        self._long = 0.0
        self._windows = 0
        self._sample: list[float] = []
        self._until_s = 0.0
        self._most_inside = 0

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002
        """Return whether there is room for one more."""
        return load.inflight < round(self._limit)

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Nothing to note."""

    def ended(self, served: Served, load: Load) -> None:
        """Take in a latency."""
        if served.ttft_inside_s is None:
            return
        self._sample.append(served.ttft_inside_s)
        self._most_inside = max(self._most_inside, load.inflight + 1)
        if load.now_s < self._until_s or len(self._sample) < _SAMPLES:
            return
        self._update(sum(self._sample) / len(self._sample))
        self._sample, self._until_s, self._most_inside = [], load.now_s + _WINDOW_S, 0

    def _update(self, short: float) -> None:
        self._windows += 1
        pace = 1 / self._windows if self._windows <= _WARM else 2 / (_LONG + 1)
        self._long += pace * (short - self._long)
        if self._long > 2 * short:
            self._long *= 0.95
        if self._most_inside < self._limit / 2:
            return
        gradient = min(max(1.5 * self._long / max(short, 1e-6), 0.5), 1.0)
        self._limit = min(max(0.8 * self._limit + 0.2 * (gradient * self._limit + 4), 20.0), 200.0)
