"""Watches the stream of requests through the configured analyzers."""

from __future__ import annotations

from functools import partial
from time import monotonic
from types import NoneType
from typing import TYPE_CHECKING, Final

from .facts import Fingerprint
from .guard import Guard
from .stream import Arrival, StreamFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..flight import Flight
    from ..records import Key, Request, Vector
    from ..telemetry import Telemetry
    from .facts import RequestFacts
    from .protocols import StreamAnalyzer

FRESH_S: Final = 1.0
"""Facts about the stream are read anew when they are older than this."""


class StreamWatch:
    """Tells the analyzers of each request once, and reads what they say about once a second.

    Args:
        analyzers: by name, in the order they read.
        budget_s: for each call.
    """

    def __init__(
        self,
        analyzers: Mapping[str, StreamAnalyzer],
        telemetry: Telemetry,
        budget_s: float,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._parts = [(Guard("stream", name, telemetry, budget_s), part) for name, part in analyzers.items()]
        self._clock = clock
        self._facts = StreamFacts()
        self._read_s = float("-inf")

    def arrived(self, flight: Flight) -> None:
        """Tell of a request that has been looked up."""
        if not self._parts:
            return
        arrival = arrival_of(
            flight.request, flight.key, flight.facts, flight.vector, self._clock(), hit=flight.hit is not None
        )
        for guard, part in self._parts:
            guard.run(partial(part.arrived, arrival), NoneType)

    def facts(self) -> StreamFacts:
        """Return what is known about the stream, at most a second old."""
        now = self._clock()
        if now - self._read_s >= FRESH_S:
            self._read_s = now
            self._facts = self._read(now)
        return self._facts

    def _read(self, now_s: float) -> StreamFacts:
        facts = StreamFacts()
        for guard, part in self._parts:
            made, _ = guard.run(partial(part.read, now_s, facts), StreamFacts)
            facts = made if made is not None else facts
        return facts


def arrival_of(
    request: Request,
    key: Key | None,
    facts: RequestFacts | None,
    vector: Vector | None,
    now_s: float,
    *,
    hit: bool = False,
    prompt_scale: float = 1.0,
) -> Arrival:
    """Return a request as the stream's analyzers see it.

    Args:
        prompt_scale: prompt tokens as the engine counts them over those that are known.
    """
    found = (facts.fingerprint if facts is not None else None) or Fingerprint()
    length = facts.length if facts is not None else None
    return Arrival(
        now_s=now_s,
        tenant=request.tenant,
        model=request.model,
        scope=key.scope if key is not None else "",
        exact=key.exact if key is not None else "",
        comparable=key.comparable if key is not None else "",
        text=key.text if key is not None else "",
        vector=vector,
        hit=hit,
        template=found.template,
        prefix=found.prefix,
        input_tokens=round(facts.prompt_tokens * prompt_scale) if facts is not None else 0,
        output_tokens=length.mean if length is not None else 0.0,
    )
