"""The lookup stop: scope, exact tier, in-flight twin, semantic tier, acceptance, freshness.

It ends in a Hit, or in a Miss that says why, within its deadline. It never waits for the engine, and no
failure leaves it: a broken dependency is a miss with a counted reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind

from . import semconv
from .breaker import OpenError
from .deadline import within
from .errors import EmbedderError, ForebayError
from .modes import narrower
from .records import Answer, Hit, Miss, Mode, Tier
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.trace import Span

    from .breaker import Breaker
    from .config import CacheConfig
    from .flight import Flight, Part
    from .keeper import Keeper
    from .protocols import Acceptance, Embedder
    from .records import Candidate, Entry, Key, Lookup, Vector, Verdict
    from .telemetry import Telemetry
    from .twins import Twins

LOOKED_UP_AT_ONCE: Final = 32


class LookupStop:
    """Looks a request up.

    Args:
        embedder: None where it could not be loaded; then only exact hits are found.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        embedder: Embedder | None,
        acceptance: Acceptance,
        twins: Twins,
        config: CacheConfig,
        telemetry: Telemetry,
        embed_breaker: Breaker,
        clock: Callable[[], float] = time,
    ) -> None:
        self._keeper = keeper
        self._embedder = embedder
        self._acceptance = acceptance
        self._twins = twins
        self._config = config
        self._telemetry = telemetry
        self._breaker = embed_breaker
        self._clock = clock

    async def run(self, flight: Flight) -> Lookup:
        """Look the flight's request up and note the result on it."""
        if flight.lookup is not None:
            return flight.lookup
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
        self._report(flight, result, span, perf_counter() - began)
        return result

    async def embed(self, text: str, span: Span, deadline_s: float) -> Vector:
        """Return the vector of a question.

        Raises:
            EmbedderError: there is no embedder.
            TimeoutError: the deadline passed.
        """
        embedder = self._embedder
        if embedder is None:
            raise EmbedderError("no embedder is loaded")
        child = self._telemetry.child(f"{semconv.SPAN_EMBED} {embedder.model_id}", span, SpanKind.CLIENT)
        annotate(child, {semconv.OPERATION: "embeddings", semconv.REQUEST_MODEL: embedder.model_id})
        try:
            vectors = await self._breaker.call(lambda: _first(embedder, text), deadline_s)
        except BaseException as error:
            end_span(child, error=type(error).__name__)
            raise
        end_span(child)
        return vectors

    @property
    def embedder_id(self) -> str:
        """Id of the loaded embedder, "" where there is none."""
        return self._embedder.model_id if self._embedder is not None else ""

    @staticmethod
    def _skip(flight: Flight) -> str | None:
        if flight.mode is Mode.OFF:
            return "bypass"
        if flight.facts is None or flight.key is None or not flight.facts.cacheable:
            return flight.facts.reason if flight.facts is not None else "not_cacheable"
        return "no_cache" if flight.request.controls.no_cache else None

    async def _look(self, flight: Flight, key: Key, span: Span) -> Lookup:
        exact = narrower(flight.mode, self._config.exact)
        semantic = narrower(flight.mode, self._config.semantic)
        shadow: Hit | None = None
        if flight.parts:
            return await self._look_each(flight, key, exact)
        if not await self._keeper.knows(key):
            return Miss("no_candidate")
        if exact is not Mode.OFF:
            entry = await self._keeper.get(key)
            if entry is not None and not self._young_enough(flight, entry):
                return Miss("too_old")
            if entry is not None:
                hit = self._hit(Tier.EXACT, entry, 1.0, 1.0)
                if exact is Mode.SERVE:
                    return hit
                shadow = hit
        if shadow is None and exact is Mode.SERVE and self._config.twins and self._twins.busy(key.exact):
            return Miss("inflight")
        if semantic is Mode.OFF or shadow is not None:
            return Miss("shadow" if shadow is not None else "no_candidate", shadow=shadow)
        if flight.facts is None or not flight.facts.semantic:
            return Miss(flight.facts.reason if flight.facts is not None else "not_cacheable")
        if self._embedder is None:
            return Miss("no_embedder")
        flight.vector = await self.embed(key.text, span, self._config.lookup_deadline_ms / 1000)
        return await self._similar(flight, key, flight.vector, semantic, span)

    async def _look_each(self, flight: Flight, key: Key, exact: Mode) -> Lookup:
        """Look every part of a batch up; a hit is one in which all were found."""
        if exact is Mode.OFF:
            return Miss("no_candidate")

        async def look(part: Part) -> None:
            if await self._keeper.knows(part.key):
                entry = await self._keeper.get(part.key)
                part.entry = entry if entry is not None and self._young_enough(flight, entry) else None

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
            result = self._hit(Tier.EXACT, whole, 1.0, 1.0)
        if exact is Mode.SERVE:
            return result
        for part in flight.parts:
            part.entry = None
        return Miss("shadow", shadow=result) if isinstance(result, Hit) else result

    def _young_enough(self, flight: Flight, entry: Entry) -> bool:
        limit = flight.request.controls.max_age_s
        return limit is None or self._clock() - entry.created_s <= limit

    async def _similar(self, flight: Flight, key: Key, vector: Vector, mode: Mode, span: Span) -> Lookup:
        child = self._telemetry.child(semconv.SPAN_SEARCH, span, SpanKind.CLIENT)
        annotate(child, {semconv.CACHE_TOPK: self._config.neighbours})
        try:
            near = await self._keeper.search(key, vector, self.embedder_id, self._config.neighbours)
        finally:
            end_span(child)
        found = [candidate for candidate in near if self._young_enough(flight, candidate.entry)]
        if not found:
            return Miss("no_candidate")
        verdict, candidate = self._judge(key, found, span)
        flight.decide(
            "verify", "accept" if verdict.accepted else "reject", verdict.reason, similarity=candidate.similarity
        )
        if not verdict.accepted:
            return Miss(verdict.reason, similarity=candidate.similarity)
        hit = self._hit(Tier.SEMANTIC, candidate.entry, candidate.similarity, verdict.confidence)
        if mode is Mode.SERVE:
            return hit
        return Miss("shadow", similarity=candidate.similarity, shadow=hit)

    def _judge(self, key: Key, found: Sequence[Candidate], span: Span) -> tuple[Verdict, Candidate]:
        """Return the first accepted candidate, else the nearest one with the reason it was rejected."""
        child = self._telemetry.child(semconv.SPAN_VERIFY, span)
        first: tuple[Verdict, Candidate] | None = None
        try:
            for candidate in found:
                verdict = self._acceptance.judge(key.text, candidate)
                if verdict.accepted or first is None:
                    first = (verdict, candidate)
                if verdict.accepted:
                    break
            assert first is not None  # only called with candidates
            result = "accept" if first[0].accepted else "reject"
            annotate(child, {semconv.VERIFY_RESULT: result, semconv.VERIFY_REASON: first[0].reason})
        except Exception as error:
            self._telemetry.dependency_error("acceptance", type(error).__name__)
            annotate(child, {semconv.ERROR_TYPE: type(error).__name__})
            raise
        finally:
            end_span(child)
        return first

    def _hit(self, tier: Tier, entry: Entry, similarity: float, confidence: float) -> Hit:
        return Hit(tier, entry, similarity, confidence, max(0.0, self._clock() - entry.created_s))

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
        detail = {} if shown is None else {"tier": shown.tier.value, "entry": shown.entry.id}
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
            },
        )
        end_span(span)


async def _first(embedder: Embedder, text: str) -> Vector:
    return (await embedder.embed([text]))[0]


def _reason(error: Exception) -> str:
    if isinstance(error, OpenError):
        return "breaker_open"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, EmbedderError):
        return "embedder_error"
    return "store_error" if isinstance(error, ForebayError) else "error"
