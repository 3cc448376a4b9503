"""Sharing a computation: a request waits for an equal or a similar one that is in flight, instead of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .generation import Generation
from .records import Entry, Hit, Mode, Tier
from .similar import young_enough
from .twins import Turn

if TYPE_CHECKING:
    from .config import CacheConfig
    from .flight import Flight
    from .records import Answer
    from .twins import Live, Twins


class Sharing:
    """Lets flights follow their twins."""

    def __init__(self, twins: Twins, config: CacheConfig) -> None:
        self._twins = twins
        self._config = config

    def follows(self, flight: Flight) -> bool:
        """Return whether somebody computes what this flight could take."""
        key, similar = flight.key, flight.follows
        if key is None or not self._shares(flight):
            return False
        return self._twins.busy(key.exact) or (similar is not None and self._twins.busy(similar.candidate.entry.id))

    async def join(self, flight: Flight, form: str | None = None) -> bool:
        """Follow a similar request, then an equal one; return whether that brought the answer, or one to read (`Flight.live`).

        Where not, this flight leads its key, or computes for itself alone.

        Args:
            form: of an answer that can be read while it is computed, None where this flight's cannot.
        """
        key = flight.key
        if key is None or not self._shares(flight):
            return False
        if await self._similar(flight):
            return True
        found = await self._twins.join(key.exact, flight.request.id, self._config.twin_wait_s, form)
        if isinstance(found, Generation):
            flight.reads(found)
            flight.decide("admit", "live_twin", entry=key.exact)
            return True
        if isinstance(found, Turn):
            flight.alone = found is Turn.ALONE
            return False
        if not self._takes(flight, found):
            flight.alone = True
            return False
        flight.served_by(Hit(Tier.INFLIGHT, found, 1.0, 1.0, self._age_s(found)))
        flight.decide("admit", "twin", entry=found.id)
        return True

    def offer(self, flight: Flight, live: Live) -> None:
        """Let twins read what a flight that leads them computes."""
        if flight.key is not None and live.form is not None and not flight.alone:
            self._twins.offer(flight.key.exact, flight.request.id, live)

    def passed(self, flight: Flight, successor: Flight) -> None:
        """A leader left while its twin reads along: the twin pays for the rest."""
        successor.takes_over(flight)
        successor.decide("run", "handed_over")
        if flight.key is not None:
            self._twins.passed(flight.key.exact, flight.request.id, successor.request.id)

    def followed(self, flight: Flight, live: Live, answer: Answer | None) -> None:
        """A twin has read all of an answer: it was a hit, unless the twin paid for it in the end."""
        key = flight.key
        if answer is None or key is None or live.owner is flight:
            return
        now_s = self._twins.clock()
        entry = Entry(
            id=key.exact,
            scope=key.scope,
            context=key.context,
            question=key.text,
            reading=key.reading,
            answer=answer,
            model=flight.request.model,
            tenant="",
            created_s=now_s,
            expires_s=now_s,
        )
        flight.served_by(Hit(Tier.INFLIGHT, entry, 1.0, 1.0, 0.0))

    async def _similar(self, flight: Flight) -> bool:
        found, flight.follows = flight.follows, None  # once: a retry computes for itself
        if found is None:
            return False
        leader = found.candidate.entry.id
        entry = await self._twins.follow(leader, flight.request.id, self._config.twin_wait_s)
        if entry is None or not self._takes(flight, entry):
            return False
        similarity = found.candidate.similarity
        flight.considered = replace(found, candidate=replace(found.candidate, entry=entry))
        flight.served_by(Hit(Tier.INFLIGHT, entry, similarity, found.verdict.confidence, self._age_s(entry)))
        flight.decide("admit", "similar_twin", entry=entry.id, similarity=similarity)
        return True

    def _takes(self, flight: Flight, entry: Entry) -> bool:
        """Return whether an answer may still be served: it may have been held for long while the store was slow."""
        now_s = self._twins.clock()
        return entry.expires_s > now_s and young_enough(flight, entry, now_s)

    def _age_s(self, entry: Entry) -> float:
        return max(0.0, self._twins.clock() - entry.created_s)

    def _shares(self, flight: Flight) -> bool:
        controls = flight.request.controls
        return (
            self._config.twins
            and self._config.exact is Mode.SERVE
            and not flight.alone
            and not flight.parts
            and not controls.no_cache
            and not controls.no_store
            and flight.facts is not None
            and flight.facts.cacheable
        )
