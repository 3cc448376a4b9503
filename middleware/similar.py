"""The semantic tier: embed, search, re-score, judge.

A candidate comes from the store, or is a request in flight whose answer is being computed. The store's order is by
vectors alone; here words count, too, and only the best few are judged. What was judged stays on the flight, for audits
and for `explain`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from operator import mul
from time import time
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind

from . import semconv
from .errors import EmbedderError
from .freshness import Freshness, freshness
from .records import Answer, Asked, Candidate, Entry, Hit, Miss, Mode, Query, Tier
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.trace import Span

    from .breaker import Breaker
    from .config import CacheConfig
    from .flight import Flight
    from .keeper import Keeper
    from .keys import Keyring
    from .protocols import Acceptance, Embedder
    from .records import Key, Lookup, Vector, Verdict
    from .refused import RefusedPairs
    from .telemetry import Telemetry

JUDGED: Final = 3
"""Candidates that are judged at most."""
WORDS_WEIGHT: Final = 0.05
"""What equal words count for beside the cosine when candidates are ordered: between two that are about as near, the one
with the same words is the likelier."""
MOST_FLYING: Final = 32
"""Requests in flight of one scope that a new one is compared with at most."""
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Considered:
    """What the semantic tier decided about a request: the best candidate and its verdict."""

    asked: Asked
    candidate: Candidate
    verdict: Verdict


@dataclass(slots=True)
class _Leader:
    key: Key
    vector: Vector | None
    context_vector: Vector | None


class Flying:
    """The requests that are being computed and whose answers may be shared with similar ones. Belongs to one loop."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[str, str], dict[str, _Leader]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._leaders.values()))

    def add(self, flight: Flight, key: Key) -> None:
        """Note a request that is computed."""
        group = self._leaders.setdefault((key.scope, key.comparable), {})
        if len(group) < MOST_FLYING:
            group[flight.request.id] = _Leader(key, flight.vector, flight.context_vector)

    def remove(self, flight: Flight) -> None:
        """Its answer is kept, or there is none."""
        key = flight.key
        if key is None:
            return
        group = self._leaders.get((key.scope, key.comparable))
        if group is not None:
            group.pop(flight.request.id, None)
            if not group:
                del self._leaders[key.scope, key.comparable]

    def beside(self, key: Key) -> list[_Leader]:
        """Return those that a request with this key may be compared with."""
        group = self._leaders.get((key.scope, key.comparable))
        return [leader for leader in group.values() if leader.key.exact != key.exact] if group else []


class SemanticTier:
    """Finds an answer that was given to a similar question.

    Args:
        embedder: None where it could not be loaded.
        hold_out: says whether this hit is to be computed all the same, as an audit.
        covers: whether a stale entry is computed anew while it is served (`Refresher.covers`).
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        embedder: Embedder | None,
        acceptance: Acceptance,
        keyring: Keyring,
        refused: RefusedPairs,
        config: CacheConfig,
        telemetry: Telemetry,
        breaker: Breaker,
        hold_out: Callable[[Flight, Considered], bool] | None = None,
        covers: Callable[[Flight, Entry], bool] = lambda _, __: False,
        clock: Callable[[], float] = time,
    ) -> None:
        self._keeper = keeper
        self._embedder = embedder
        self._acceptance = acceptance
        self._keyring = keyring
        self._refused = refused
        self._config = config
        self._telemetry = telemetry
        self._breaker = breaker
        self._hold_out = hold_out
        self._covers = covers
        self._clock = clock
        self.flying = Flying()

    @property
    def embedder_id(self) -> str:
        """Id of the loaded embedder, "" where there is none."""
        return self._embedder.model_id if self._embedder is not None else ""

    async def embed(self, texts: Sequence[str], span: Span, deadline_s: float) -> Sequence[Vector]:
        """Return the vectors of some texts.

        Raises:
            EmbedderError: there is no embedder, or it failed.
            TimeoutError: the deadline passed.
        """
        embedder = self._embedder
        if embedder is None:
            raise EmbedderError("no embedder is loaded")
        child = self._telemetry.child(f"{semconv.SPAN_EMBED} {embedder.model_id}", span, SpanKind.CLIENT)
        annotate(child, {semconv.OPERATION: "embeddings", semconv.REQUEST_MODEL: embedder.model_id})
        try:
            vectors = await self._breaker.call(lambda: embedder.embed(texts), deadline_s)
        except BaseException as error:
            end_span(child, error=type(error).__name__)
            raise
        end_span(child)
        return vectors

    async def vectors_of(self, key: Key, span: Span, deadline_s: float) -> tuple[Vector, Vector | None]:
        """Return the vectors of a key's question and of its reading, None where it has none.

        Raises:
            EmbedderError, TimeoutError: as `embed`.
        """
        made = await self.embed([key.text, key.reading] if key.reading else [key.text], span, deadline_s)
        return made[0], made[1] if key.reading else None

    async def look(self, flight: Flight, key: Key, mode: Mode, span: Span) -> Lookup:
        """Look for a similar question's answer, kept or on its way.

        Args:
            mode: shadow or serve.
        """
        if self._embedder is None:
            return Miss("no_embedder")
        deadline_s = self._config.lookup_deadline_ms / 1000
        flight.vector, flight.context_vector = await self.vectors_of(key, span, deadline_s)
        query = Query(key, flight.vector, self.embedder_id, self._config.neighbours, flight.context_vector)
        asked = self.asked(flight, key)
        near: Sequence[Candidate] = await self._search(query, span) if await self._keeper.knows(key) else ()
        now_s, controls = self._clock(), flight.request.controls
        worth = [(freshness(candidate.entry, controls, now_s), candidate) for candidate in near]
        best = self._best(asked, [candidate for each, candidate in worth if each is Freshness.FRESH], span)
        old = [candidate for each, candidate in worth if each is Freshness.STALE] if mode is Mode.SERVE else []
        if old and (best is None or not _served(best)):
            covered = [candidate for candidate in old if self._covers(flight, candidate.entry)]
            stale = self._best(asked, covered, span)
            best = stale if stale is not None and _served(stale) else best
        if best is not None:
            flight.considered = best
            note(flight, best)
            if _served(best):
                return self._decided(flight, best, mode)
        if mode is Mode.SERVE and self._config.twins and not flight.request.controls.no_store:
            await self._fly_with(flight, asked, query, span)
        if best is None:
            return Miss("no_candidate")
        if best.verdict.accepted:
            return self._decided(flight, best, mode)
        return Miss(best.verdict.reason, similarity=best.candidate.similarity)

    def asked(self, flight: Flight, key: Key) -> Asked:
        """Return what an acceptance policy is told about a request."""
        request = flight.request
        category = flight.facts.task if flight.facts is not None else ""
        return Asked(key, self._keyring.digest("tenant", request.tenant), request.model, category)

    def _decided(self, flight: Flight, best: Considered, mode: Mode) -> Lookup:
        entry, similarity = best.candidate.entry, best.candidate.similarity
        now_s = self._clock()
        age_s = max(0.0, now_s - entry.created_s)
        hit = Hit(Tier.SEMANTIC, entry, similarity, best.verdict.confidence, age_s, entry.expires_s <= now_s)
        if not best.verdict.proven:
            return Miss("unproven", similarity=similarity, shadow=hit)
        if not _strict_enough(flight, best):
            return Miss("strategy", similarity=similarity, shadow=hit)
        if mode is not Mode.SERVE:
            return Miss("shadow", similarity=similarity, shadow=hit)
        if self._hold_out is not None and self._hold_out(flight, best):
            return Miss("audit", similarity=similarity, shadow=hit)
        return hit

    async def _search(self, query: Query, span: Span) -> Sequence[Candidate]:
        child = self._telemetry.child(semconv.SPAN_SEARCH, span, SpanKind.CLIENT)
        annotate(child, {semconv.CACHE_TOPK: query.limit})
        try:
            return await self._keeper.search(query, stale=True)
        finally:
            end_span(child)

    async def _fly_with(self, flight: Flight, asked: Asked, query: Query, span: Span) -> None:
        """Find a request in flight that asks the same in other words; its answer is waited for when this one is let in."""
        leaders = self.flying.beside(query.key)
        if not leaders:
            return
        for leader in leaders:
            if leader.vector is None:  # it came into an empty scope, where nothing needed its vector
                deadline_s = self._config.lookup_deadline_ms / 1000
                leader.vector, leader.context_vector = await self.vectors_of(leader.key, span, deadline_s)
        best = self._best(asked, [_in_flight(leader, query) for leader in leaders], span)
        if best is not None and _served(best) and _strict_enough(flight, best):
            flight.follows = best
            flight.decide("verify", "twin", best.verdict.reason, similarity=best.candidate.similarity)

    def _best(self, asked: Asked, candidates: Sequence[Candidate], span: Span) -> Considered | None:
        """Judge the best few: return the surest accepted one, else the nearest; None where there are none."""
        if not candidates:
            return None
        child = self._telemetry.child(semconv.SPAN_VERIFY, span)
        judged: list[Considered] = []
        try:
            for candidate in rescored(asked.key, candidates)[:JUDGED]:
                verdict = self._acceptance.judge(asked, candidate)
                if self._refused.holds(asked.key.exact, candidate.entry.id):
                    verdict = replace(verdict, accepted=False, confidence=0.0, reason="proven_other")
                judged.append(Considered(asked, candidate, verdict))
            best = max(judged, key=_rank)
            result = "accept" if best.verdict.accepted else "reject"
            annotate(child, {semconv.VERIFY_RESULT: result, semconv.VERIFY_REASON: best.verdict.reason})
        except Exception as error:
            self._telemetry.dependency_error("acceptance", type(error).__name__)
            annotate(child, {semconv.ERROR_TYPE: type(error).__name__})
            raise
        finally:
            end_span(child)
        return best


def rescored(key: Key, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates with the likeliest first: by the mean of the cosines, and by equal words."""
    words = set(_WORD.findall(key.text.casefold()))

    def score(candidate: Candidate) -> float:
        others = set(_WORD.findall(candidate.entry.question.casefold()))
        overlap = len(words & others) / (len(words | others) or 1)
        return (candidate.similarity + candidate.context_similarity) / 2 + WORDS_WEIGHT * overlap

    return sorted(candidates, key=score, reverse=True)


def young_enough(flight: Flight, entry: Entry, now_s: float) -> bool:
    """Return whether the caller takes an entry of this age."""
    limit = flight.request.controls.max_age_s
    return limit is None or now_s - entry.created_s <= limit


def _served(found: Considered) -> bool:
    return found.verdict.accepted and found.verdict.proven


def _strict_enough(flight: Flight, found: Considered) -> bool:
    """Return whether a verdict is as sure as the flight's strategy demands."""
    return flight.choice is None or found.verdict.confidence >= flight.choice.strategy.strictness


def note(flight: Flight, found: Considered) -> None:
    """Put a verdict into the flight's decisions."""
    verdict, candidate = found.verdict, found.candidate
    choice = "reject" if not verdict.accepted else "accept" if verdict.proven else "unproven"
    detail: dict[str, object] = {"stratum": verdict.stratum} if verdict.stratum else {}
    if found.asked.key.reading:
        detail["context_similarity"] = round(candidate.context_similarity, 6)
    flight.decide(
        "verify",
        choice,
        verdict.reason,
        similarity=candidate.similarity,
        confidence=round(verdict.confidence, 6),
        asked=found.asked.key.exact,
        entry=candidate.entry.id,
        **detail,
    )


def _rank(found: Considered) -> tuple[bool, bool, float]:
    # of the refused all are equal: then `max` takes the first, which is the nearest
    verdict = found.verdict
    return verdict.accepted, verdict.accepted and verdict.proven, verdict.confidence if verdict.accepted else 0.0


def _in_flight(leader: _Leader, query: Query) -> Candidate:
    """Return a request in flight as a candidate; its answer is not there yet."""
    key = leader.key
    entry = Entry(key.exact, key.scope, key.context, key.text, Answer({}), "", "", 0.0, 0.0, reading=key.reading)
    context = 1.0
    if leader.context_vector is not None and query.context_vector is not None:
        context = _dot(leader.context_vector, query.context_vector)
    assert leader.vector is not None  # made just before
    return Candidate(entry, _dot(leader.vector, query.vector), context)


def _dot(one: Vector, other: Vector) -> float:
    return max(-1.0, min(1.0, float(sum(map(mul, one, other)))))
