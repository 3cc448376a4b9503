"""As many inside the engine as give the most good requests a second."""

from __future__ import annotations

import math
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from ...middleware.analysis.facts import Priority
from .awaited import Awaited
from .pace import Pace
from .tokens import SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.admission.tickets import Load, Served, Ticket
    from ..work.ledger import Floats

START: Final = 128
"""Places of an engine of which nothing is known: vLLM's usual max_num_seqs."""
RESERVE: Final[Mapping[Priority, float]] = MappingProxyType({Priority.BATCH: 0.2, Priority.BACKGROUND: 0.3})
_MORE_URGENT: Final = {name: tuple(Priority)[:at] for at, name in enumerate(Priority)}
_RECENT: Final = 256
_EVERY: Final = 16
_TURN: Final = 1
_EARLY: Final = 256
_SELDOM: Final = 64
"""Streams between two fits of the law once the first 256 have ended: a fit takes a millisecond."""
_TRIED: Final = 64
"""Numbers that are compared."""
_LEAST: Final = 16
_STALE: Final = 4
"""Late ones for which the oldest that was in time is forgotten: the engine may have changed."""
_NEAR: Final = 0.98
_SMOOTH: Final = 0.5
_HALF: Final = 0.5
_DEEPEST: Final = 0.5
"""Share of the throughput that a cut may cost at most."""
_KEPT: Final = 0.99


class GoodputLimit:
    """Steers the number inside by the objectives for the time of a token (TPOT).

    The engine's law (`Pace`) says how long a token takes while N decode: base + each * N, and so how many requests a second
    come out: in proportion to N / (base + each * N). The last 256 streams say how far single ones are off from that, and so
    which share of them would be within their objectives at another N. The limit is where the product of both is highest; of
    all N that come within 2% of that, the largest, since a limit that is too low costs more than one that is too high.

    It starts at the engine's own number and stays there as long as nothing is known: no stream was seen, no class has an
    objective, or no N would meet it. Streams whose first token came too late count for nothing, since no N makes them good.
    It never goes below the N at which half as many come out as at best, and a cut stays only as long as the law and the last
    streams speak for it: both are looked at anew every 16 streams. While first tokens come later than reading the prompts inside
    explains, the engine queues inside (it has fewer places or less KV cache than was said), and nobody is let in (`Awaited`); one
    stream that hangs keeps others out for 5 s at most.

    Where the KV cache is known, what those inside are expected to hold of it must fit, too: their prompts and half of their
    outputs, since they are at different points of them, predictions being corrected by how far the last ones were off.
    The classes in `reserve` leave places free for more urgent ones, while one of those is inside.

    Args:
        max_inflight: the engine's own number (vLLM: max_num_seqs), which is never exceeded; None: 128, and more while all
            places are taken and the law speaks for more.
        kv_tokens: tokens that the engine's KV cache holds, None for unknown.
        reserve: share of the places into which a class does not come. For orderings by class: in another, who is kept out keeps
            all behind it waiting.

    Attributes:
        places: how many may be inside; several workers share them.

    Raises:
        ValueError: a number is below 1, or a share is not in [0, 1).
    """

    def __init__(
        self,
        *,
        max_inflight: int | None = None,
        kv_tokens: int | None = None,
        reserve: Mapping[Priority, float] = RESERVE,
    ) -> None:
        if any(number is not None and number < 1 for number in (max_inflight, kv_tokens)):
            raise ValueError("max_inflight and kv_tokens must be at least 1")
        if not all(0 <= share < 1 for share in reserve.values()):
            raise ValueError("reserve: a share is at least 0 and below 1")
        self._most = max_inflight
        self._top = max_inflight or START
        self._tokens = math.inf if kv_tokens is None else SHARE * kv_tokens
        self._reserve = dict(reserve)
        self._now = float(self._top)
        self._pace = Pace()
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=_RECENT)
        self._ended = 0
        self._said = self._made = 0.0
        self._awaited = Awaited()

    @property
    def places(self) -> int:
        """How many may be inside, at least 1."""
        return max(1, round(self._now))

    def admits(self, ticket: Ticket, load: Load) -> bool:
        """Return whether there is room for it."""
        if not load.inflight:
            return True
        places = min(self.places, self._awaited.room)
        kept = self._reserve.get(ticket.priority)
        if kept and any(load.classes.get(name) for name in _MORE_URGENT[ticket.priority]):
            places = math.ceil(places * (1 - kept))
        if load.inflight >= places or (load.prefilling and self._awaited.overdue(load.now_s)):
            return False
        prompts = load.inflight_tokens + ticket.input_tokens
        outputs = load.reserved_tokens + ticket.tokens - prompts
        return prompts + _HALF * outputs * (self._made / self._said if self._said else 1.0) <= self._tokens

    def entered(self, ticket: Ticket, load: Load) -> None:
        """Note one that was let in."""
        self._pace.seen(load)
        expected_s = self._pace.first_s(load)
        if ticket.stream and expected_s is not None:
            self._awaited.entered(ticket.id, load.now_s, expected_s)

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Note a stream's first token."""
        self._pace.first_token(ticket, load)
        self._awaited.read(ticket.id, load.now_s, load.inflight - load.prefilling)

    def ended(self, served: Served, load: Load) -> None:
        """Note what became of one, and every 16 streams steer."""
        full = load.queued > 0 and load.inflight + 1 >= self.places
        beside = self._pace.ended(served, load)
        self._awaited.left(served.ticket.id)
        if served.complete and served.output_tokens and served.ticket.output_tokens:
            self._said = self._said * _KEPT + served.ticket.output_tokens
            self._made = self._made * _KEPT + served.output_tokens
        if full and self._most is None and self.places >= self._top:
            self._top += 1
            if self._pace.law is None:
                self._now = float(self._top)
        if beside is None or served.tpot_s is None:
            return
        objective = served.ticket.objective
        aim_s = math.inf if objective.tpot_s is None else objective.tpot_s
        late = objective.ttft_s is not None and served.ttft_s is not None and served.ttft_s > objective.ttft_s
        if not late:
            self._recent.append((beside, served.tpot_s, aim_s))
        elif len(self._recent) > _LEAST and self._ended % _STALE == 0:
            self._recent.popleft()
        self._ended += 1
        if self._ended % (_EVERY if self._ended <= _EARLY else _SELDOM) == 0:
            self._pace.refit()
        if self._ended % _EVERY == _TURN:  # neither shall hold others up for long
            self._now += _SMOOTH * (self._best() - self._now)

    def _best(self) -> int:
        """Return the number at which the most good requests a second come out."""
        tpot = self._pace.tpot()
        if tpot is None or len(self._recent) < _LEAST:
            return self._top
        base, each = tpot
        beside, took, aims = np.array(self._recent).T
        off = took / np.maximum(base + each * beside, 1e-9)
        numbers = np.unique(np.linspace(1, self._top, _TRIED).round())
        pace = base + each * numbers
        within: Floats = (pace[:, None] * off <= aims).mean(1)
        served = numbers / np.maximum(pace, 1e-9)
        good: Floats = np.where(served >= _DEEPEST * served.max(), served * within, 0.0)
        return int(numbers[np.flatnonzero(good >= _NEAR * good.max())[-1]])
