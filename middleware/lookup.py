"""The lookup stop: scope, exact tier, in-flight twin, semantic tier, acceptance, freshness.

It ends in a Hit, or in a Miss that says why, within its deadline. It never waits for the engine, and no
failure leaves it: a broken dependency is a miss with a counted reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from . import semconv
from .breaker import OpenError
from .deadline import within
from .errors import EmbedderError, ForebayError
from .freshness import Freshness, freshness
from .modes import narrower
from .records import Answer, Hit, Miss, Mode, Tier
from .similar import young_enough
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.trace import Span

    from .config import CacheConfig
    from .flight import Flight, Part
    from .keeper import Keeper
    from .records import Entry, Key, Lookup
    from .similar import SemanticTier
    from .telemetry import Telemetry
    from .twins import Twins

LOOKED_UP_AT_ONCE: Final = 32
WRONG_DEADLINE_S: Final = 2.0


class LookupStop:
    """Looks a request up.

    Args:
        covers: whether a stale entry is computed anew while it is served (`Refresher.covers`).
        disown: forgets the kept answer that a flight's caller says was wrong.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        similar: SemanticTier,
        twins: Twins,
        config: CacheConfig,
        telemetry: Telemetry,
        covers: Callable[[Flight, Entry], bool] = lambda _, __: False,
        disown: Callable[[Flight], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._keeper = keeper
        self._similar = similar
        self._twins = twins
        self._config = config
        self._telemetry = telemetry
        self._covers = covers
        self._disown = disown
        self._clock = clock

    async def run(self, flight: Flight) -> Lookup:
        """Look the flight's request up and note the result on it."""
        if flight.lookup is not None:
            return flight.lookup
        if flight.request.controls.wrong is not None:
            await self._forget_wrong(flight)
        skip = self._skip(flight)
        if skip is not None or flight.key is None:
            result: Lookup = Miss(skip or "not_cacheable")
            flight.found(result)
            flight.decide("lookup", "skip", skip or "not_cacheable")
            self._telemetry.count(semconv.METRIC_LOOKUPS, decision="skip", miss_reason=skip or "not_cacheable")
            return result
        began = perf_counter()
        span = self._telemetry.child(semconv.SPAN_LOOKUP, flight.span)
        try:
            async with within(self._config.lookup_deadline_ms / 1000):
                result = await self._look(flight, flight.key, span)
        except asyncio.CancelledError:
            end_span(span, error="cancelled")
            raise
        except Exception as error:  # fail open: a lookup that fails is a miss
            result = Miss(_reason(error))
            annotate(span, {semconv.ERROR_TYPE: type(error).__name__})
        flight.found(result)
        self._fly(flight, flight.key, result)
        self._report(flight, result, span, perf_counter() - began)
        return result

    def still_holds(self, flight: Flight, entry: Entry) -> bool:
        """Return whether an entry that a flight saw has not been forgotten since."""
        return not self._keeper.forgotten.since(entry, flight.started_s)

    def _fly(self, flight: Flight, key: Key, result: Lookup) -> None:
        """Let similar requests find this one while it is computed."""
        served = narrower(flight.mode, self._config.semantic) is Mode.SERVE
        shares = self._config.twins and not flight.request.controls.no_store and flight.follows is None
        if served and shares and isinstance(result, Miss) and flight.facts is not None and flight.facts.semantic:
            self._similar.flying.add(flight, key)

    @staticmethod
    def _skip(flight: Flight) -> str | None:
        if flight.mode is Mode.OFF:
            return "bypass"
        if flight.facts is None or flight.key is None or not flight.facts.cacheable:
            return flight.facts.reason if flight.facts is not None else "not_cacheable"
        controls = flight.request.controls
        return "no_cache" if controls.no_cache or controls.wrong is not None else None

    async def _forget_wrong(self, flight: Flight) -> None:
        """Forget what the caller says was wrong, before the flight looks for anything; its own answer is kept in its place."""
        if self._disown is None or flight.mode is not Mode.SERVE:
            return
        try:
            async with within(WRONG_DEADLINE_S):
                await self._disown(flight)
        except Exception as error:  # fail open: it is computed all the same
            self._telemetry.dependency_error("invalidation", type(error).__name__)
        flight.begins_anew()

    async def _look(self, flight: Flight, key: Key, span: Span) -> Lookup:
        exact = narrower(flight.mode, self._config.exact)
        semantic = narrower(flight.mode, self._config.semantic)
        shadow: Hit | None = None
        if flight.parts:
            return await self._look_each(flight, key, exact)
        known = await self._keeper.knows(key)
        if not known and not self._similar.flying.beside(key):
            return Miss("no_candidate")
        if exact is not Mode.OFF and known:
            entry = await self._keeper.get(key, stale=True)
            worth = None if entry is None else freshness(entry, flight.request.controls, self._clock())
            if entry is not None and worth is not Freshness.FRESH:
                flight.outdated = entry
                if worth is Freshness.TOO_OLD:
                    return Miss("too_old")
                if worth is Freshness.STALE and exact is Mode.SERVE and self._covers(flight, entry):
                    return self._hit(entry, stale=True)
            elif entry is not None:
                hit = self._hit(entry)
                if exact is Mode.SERVE:
                    return hit
                shadow = hit
        if shadow is None and exact is Mode.SERVE and self._config.twins and self._twins.busy(key.exact):
            return Miss("inflight")
        if semantic is Mode.OFF or shadow is not None:
            return Miss("shadow" if shadow is not None else _none_of(flight), shadow=shadow)
        if flight.facts is None or not flight.facts.semantic:
            return Miss(flight.facts.reason if flight.facts is not None else "not_cacheable")
        found = await self._similar.look(flight, key, semantic, span)
        return Miss(_none_of(flight)) if found == Miss("no_candidate") else found

    async def _look_each(self, flight: Flight, key: Key, exact: Mode) -> Lookup:
        """Look every part of a batch up; a hit is one in which all were found."""
        if exact is Mode.OFF:
            return Miss("no_candidate")

        async def look(part: Part) -> None:
            if await self._keeper.knows(part.key):
                entry = await self._keeper.get(part.key)
                fresh = entry is not None and young_enough(flight, entry, self._clock())
                part.entry = entry if fresh else None

        for start in range(0, len(flight.parts), LOOKED_UP_AT_ONCE):
            await asyncio.gather(*(look(part) for part in flight.parts[start : start + LOOKED_UP_AT_ONCE]))
        found = [part.entry for part in flight.parts if part.entry is not None]
        flight.decide("lookup", "parts", found=len(found), of=len(flight.parts))
        if len(found) < len(flight.parts):
            result: Lookup = Miss("partial" if found else "no_candidate")
        else:
            oldest = min(found, key=lambda entry: entry.created_s)
            read = sum(entry.answer.input_tokens for entry in found)
            whole = replace(
                oldest, id=key.exact, answer=Answer({"parts": [entry.answer.body for entry in found]}, read)
            )
            result = self._hit(whole)
        if exact is Mode.SERVE:
            return result
        for part in flight.parts:
            part.entry = None
        return Miss("shadow", shadow=result) if isinstance(result, Hit) else result

    def _hit(self, entry: Entry, *, stale: bool = False) -> Hit:
        return Hit(Tier.EXACT, entry, 1.0, 1.0, max(0.0, self._clock() - entry.created_s), stale)

    def _report(self, flight: Flight, result: Lookup, span: Span, seconds: float) -> None:
        self._telemetry.seconds(semconv.METRIC_LOOKUP_SECONDS, seconds)
        if isinstance(result, Hit):
            try:
                for entry in [part.entry for part in flight.parts] or [result.entry]:
                    if entry is not None:
                        self._keeper.touched(entry)
            except Exception as error:  # fail open: the hit is right all the same
                self._telemetry.dependency_error("eviction", type(error).__name__)
            shown: Hit | None = result
            decision, reason = "hit", ""
            similarity: float | None = result.similarity
        else:
            shown, reason = result.shadow, result.reason
            decision = "miss" if shown is None else "shadow_hit"
            similarity = result.similarity if shown is None else shown.similarity
        detail: dict[str, object] = {} if shown is None else {"tier": shown.tier.value, "entry": shown.entry.id}
        if shown is not None and shown.stale:
            detail["stale"] = True
        flight.decide("lookup", decision, reason, similarity=similarity, **detail)
        self._telemetry.count(semconv.METRIC_LOOKUPS, decision=decision, miss_reason=reason)
        annotate(
            span,
            {
                semconv.CACHE_MODE: shown.tier.value if shown is not None else None,
                semconv.CACHE_DECISION: decision,
                semconv.CACHE_MISS_REASON: reason or None,
                semconv.CACHE_SIMILARITY: similarity,
                semconv.CACHE_AGE: shown.age_s if shown is not None else None,
                semconv.CACHE_STALE: self._clock() - shown.entry.expires_s
                if shown is not None and shown.stale
                else None,
            },
        )
        end_span(span)


def _none_of(flight: Flight) -> str:
    return "no_candidate" if flight.outdated is None else "expired"


def _reason(error: Exception) -> str:
    if isinstance(error, OpenError):
        return "breaker_open"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, EmbedderError):
        return "embedder_error"
    return "store_error" if isinstance(error, ForebayError) else "error"
