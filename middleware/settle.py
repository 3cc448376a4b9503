"""The settle stop: answer checks, write gate, twins, store, evict, tell the observers.

It runs after the caller has its answer; nobody waits for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import INVALID_SPAN

from . import semconv
from .deadline import within
from .epochs import parts_of
from .errors import ForebayError
from .events import Finished, Stored
from .forgotten import ForgottenError
from .modes import narrower
from .payload import encode_entry
from .protocols import Renewing
from .records import Ending, Entry, Hit, Key, Miss, Mode, Tier
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.trace import Span

    from .analysis.facts import RequestFacts
    from .analysis.stop import Analysis
    from .audits import Auditor
    from .config import CacheConfig
    from .events import Evicted
    from .flight import Flight
    from .keeper import Keeper
    from .keys import Keyring
    from .observers import ObserverCaller
    from .protocols import AnswerCheck, Expiry
    from .records import Answer
    from .refresh import Refresher
    from .similar import SemanticTier
    from .telemetry import Telemetry
    from .twins import Twins

log = logging.getLogger(__name__)
CANDIDATE_GRACE_S: Final = 0.5
"""How long a complete call may still bring its answer: hosts hand it over in a task of their own."""
EMBED_DEADLINE_S: Final = 5.0


class SettleStop:
    """Ends a flight."""

    def __init__(
        self,
        *,
        keeper: Keeper,
        similar: SemanticTier,
        checks: Sequence[AnswerCheck],
        expiry: Expiry,
        twins: Twins,
        keyring: Keyring,
        config: CacheConfig,
        observers: ObserverCaller,
        telemetry: Telemetry,
        auditor: Auditor,
        analysis: Analysis,
        refresher: Refresher,
        clock: Callable[[], float] = time,
    ) -> None:
        self._analysis = analysis
        self._refresher = refresher
        self._auditor = auditor
        self._keeper = keeper
        self._similar = similar
        self._checks = checks
        self._expiry = expiry
        self._twins = twins
        self._keyring = keyring
        self._config = config
        self._observers = observers
        self._telemetry = telemetry
        self._clock = clock

    async def run(self, flight: Flight, span: Span, duration_s: float) -> None:
        """Settle a flight that has ended; called once."""
        stored: list[Entry] = []
        evicted: list[Evicted] = []
        try:
            entries, reason = await self._candidates(flight)
            shared = entries[0] if entries and not flight.parts else None
            if shared is not None:
                self._twins.hold(shared.id, shared)
            if flight.key is not None:
                self._twins.answered(flight.key.exact, flight.request.id, shared)
            try:
                for entry in entries:
                    kept, gone, reason = await self._store(flight, entry, span)
                    stored.extend([kept] if kept is not None else [])
                    evicted.extend(gone)
            finally:
                if shared is not None:
                    self._twins.let_go(shared.id, shared)
            self._report(flight, stored, reason, evicted, span)
            self._auditor.consider(flight, shared.answer if shared is not None else None)
            self._analysis.ended(flight)
            self._learned(flight)
            self._refresher.consider(flight)
            if flight.outdated is not None and shared is not None:
                self._refresher.revise(flight.facts, shared.question, flight.outdated, shared.answer)
            await self._renew(flight)
        except Exception as error:  # nobody waits for this; it is counted and traced
            self._telemetry.dependency_error("settle", type(error).__name__)
            annotate(span, {semconv.ERROR_TYPE: type(error).__name__})
            log.debug("settling failed", exc_info=True)
        finally:
            if flight.key is not None:
                self._twins.answered(flight.key.exact, flight.request.id, None)
            self._similar.flying.remove(flight)
            end_span(span)
            flight.settled.set()
        await self._tell(flight, stored, evicted, duration_s)

    async def keep(self, flight: Flight, age_s: float) -> str:
        """Keep the answer of a flight that nobody made: see `Pipeline.remember`."""
        stored: list[Entry] = []
        evicted: list[Evicted] = []
        try:
            entries, reason = await self._candidates(flight)
            for entry in entries:
                reason = await self._unwanted(entry, age_s)
                if not reason:
                    older = replace(entry, created_s=entry.created_s - age_s, expires_s=entry.expires_s - age_s)
                    kept, gone, reason = await self._store(flight, older, INVALID_SPAN)
                    stored.extend([kept] if kept is not None else [])
                    evicted.extend(gone)
            self._report(flight, stored, reason, evicted, INVALID_SPAN)
        except Exception as error:  # fail open: it is computed again
            self._telemetry.dependency_error("settle", type(error).__name__)
            reason = "error"
        await self._changed(stored, evicted)
        return "" if stored else reason

    async def _renew(self, flight: Flight) -> None:
        """Let an entry that was served live on, where the expiry policy says so."""
        hit = flight.hit
        if (
            hit is None
            or hit.stale
            or hit.tier is Tier.INFLIGHT
            or flight.parts
            or not isinstance(self._expiry, Renewing)
        ):
            return
        until_s = self._expiry.renewed_s(hit.entry, self._clock())
        if until_s is not None:
            try:
                await self._keeper.put(replace(hit.entry, expires_s=until_s), flight.started_s)
            except (ForebayError, TimeoutError) as error:
                log.info("a kept answer could not be renewed: %s", type(error).__name__)

    async def _unwanted(self, entry: Entry, age_s: float) -> str:
        """Return why an entry of this age is not to be written, "" where it is."""
        if not entry.created_s + age_s < entry.expires_s:
            return "expired"
        if age_s and (entry.created_s - age_s) * 1e6 < max(parts_of(entry.epoch)):
            return "forgotten"
        key = Key(entry.scope, entry.context, entry.id, entry.question, entry.reading)
        try:
            return "" if await self._keeper.get(key) is None else "already_kept"
        except (ForebayError, TimeoutError):
            return "store_error"

    @staticmethod
    def _learned(flight: Flight) -> None:
        """Tell the queue's policies what became of the last attempt."""
        lease, answer = flight.used, flight.answer
        if lease is not None:
            lease.learn(
                input_tokens=answer.input_tokens if answer is not None else 0,
                output_tokens=answer.output_tokens if answer is not None else 0,
                complete=flight.complete and answer is not None,
            )

    async def _candidates(self, flight: Flight) -> tuple[list[Entry], str]:
        """Return the entries to keep (of a batch, one a computed part), or none and why not."""
        skip = self._skip(flight)
        if skip is not None or flight.key is None or flight.facts is None:
            return [], skip or "not_cacheable"
        if flight.answer is None:
            try:
                async with within(CANDIDATE_GRACE_S):
                    await flight.candidate.wait()
            except TimeoutError:
                return [], "no_answer_seen"
        if flight.answer is None:
            return [], "no_answer_seen"
        made = [(part.key, part.answer) for part in flight.parts] or [(flight.key, flight.answer)]
        entries: list[Entry] = []
        reason = ""
        for key, answer in made:
            if answer is not None:
                entry, why = self._judged(flight, key, flight.facts, answer)
                entries.extend([entry] if entry is not None else [])
                reason = reason or why
        return entries, reason or ("" if entries else "no_answer_seen")

    def _judged(self, flight: Flight, key: Key, facts: RequestFacts, answer: Answer) -> tuple[Entry | None, str]:
        for check in self._checks:
            refused = check.refuse(flight.request, answer)
            if refused is not None:
                return None, refused
        entry, reason = self._entry(flight, key, facts, answer)
        if entry is not None and self._keeper.forgotten.since(entry, flight.started_s):
            return None, "forgotten"
        return entry, reason

    @staticmethod
    def _skip(flight: Flight) -> str | None:
        if flight.mode is Mode.OFF:
            return "bypass"
        if flight.ending is not Ending.COMPLETE:
            return "client_cancelled" if flight.ending is Ending.CANCELLED else "not_complete"
        if isinstance(flight.lookup, Hit):
            return "hit"
        if flight.facts is None or not flight.facts.cacheable:
            return flight.facts.reason if flight.facts is not None else "not_cacheable"
        if isinstance(flight.lookup, Miss) and flight.lookup.reason == "edited":
            return "edited"
        return "no_store" if flight.request.controls.no_store else None

    def _entry(self, flight: Flight, key: Key, facts: RequestFacts, answer: Answer) -> tuple[Entry | None, str]:
        lifetime, asked = self._expiry.lifetime(flight.request, facts, answer), flight.request.controls.ttl_s
        fresh_s = lifetime.fresh_s if asked is None else min(lifetime.fresh_s, asked)
        if not fresh_s > 0:  # neither is NaN
            return None, "no_lifetime"
        now, tenant = self._clock(), self._keyring.digest("tenant", flight.request.tenant)
        entry = Entry(
            id=key.exact,
            scope=key.scope,
            context=key.context,
            reading=key.reading,
            question=key.text,
            answer=answer,
            model=flight.request.model,
            tenant=tenant,
            # a request that began in an earlier one is told by `forgotten`
            epoch=self._keeper.epochs.of(tenant),
            system=key.system,
            created_s=now,
            expires_s=now + fresh_s,
            grace_s=lifetime.grace_s,
            error_grace_s=lifetime.error_grace_s,
            cost=float(answer.input_tokens + answer.output_tokens),
            tags=flight.request.controls.tags,
        )
        return entry, ""

    async def _store(self, flight: Flight, entry: Entry, span: Span) -> tuple[Entry | None, list[Evicted], str]:
        """Embed and keep; an answer that could not be embedded is kept for exact hits."""
        vector, context_vector = flight.vector, flight.context_vector
        facts = flight.facts
        wanted = narrower(flight.mode, self._config.semantic) is not Mode.OFF
        if (
            vector is None
            and wanted
            and flight.key is not None
            and facts is not None
            and facts.semantic
            and self._similar.embedder_id
        ):
            try:
                vector, context_vector = await self._similar.vectors_of(flight.key, span, EMBED_DEADLINE_S)
            except Exception:  # the breaker counted it
                vector = None
        embedder = self._similar.embedder_id if vector is not None else ""
        size = len(encode_entry(entry, self._keyring))
        entry = replace(entry, vector=vector, context_vector=context_vector, embedder=embedder, size_bytes=size)
        try:
            evicted = await self._keeper.put(entry, flight.started_s, worth=_worth(flight))
        except ForgottenError:
            return None, [], "forgotten"
        except (ForebayError, TimeoutError) as error:
            return None, [], "timeout" if isinstance(error, TimeoutError) else "store_error"
        annotate(span, {semconv.WRITE_TTL: entry.expires_s - entry.created_s})
        return entry, evicted, ""

    def _report(
        self, flight: Flight, stored: Sequence[Entry], reason: str, evicted: Sequence[Evicted], span: Span
    ) -> None:
        outcome = "stored" if stored else "skipped"
        kept: dict[str, object] = {"entry": stored[0].id} if stored else {}
        if flight.parts:
            kept["parts"] = len(stored)
        flight.decide("settle", outcome, reason, **kept)
        self._telemetry.count(semconv.METRIC_WRITES, outcome=outcome, skip_reason=reason)
        for reason_gone, number in Counter(gone.reason for gone in evicted).items():
            self._telemetry.count(semconv.METRIC_EVICTIONS, number, reason=reason_gone)
        annotate(
            span,
            {
                semconv.WRITE_OUTCOME: outcome,
                semconv.WRITE_SKIP_REASON: reason or None,
                semconv.WRITE_EVICTED: len(evicted) or None,
            },
        )

    async def _tell(
        self, flight: Flight, stored: Sequence[Entry], evicted: Sequence[Evicted], duration_s: float
    ) -> None:
        fire = self._observers.fire
        if self._observers.has("decision_made"):
            for decision in flight.decisions:
                await fire("decision_made", decision)
        await self._changed(stored, evicted)
        await fire("request_finished", finished(flight, duration_s))

    async def _changed(self, stored: Sequence[Entry], evicted: Sequence[Evicted]) -> None:
        """Tell the observers what is kept and what is gone."""
        for entry in stored:
            await self._observers.fire("entry_stored", Stored(entry.id, entry.scope, entry.size_bytes, entry.expires_s))
        for gone in evicted:
            await self._observers.fire("entry_evicted", gone)


def _worth(flight: Flight) -> float:
    """Return what an entry is worth of its cost: less where a kept neighbour would answer the same."""
    found = flight.considered
    served = found is not None and found.verdict.accepted and found.verdict.proven
    return 1.0 - found.verdict.confidence if found is not None and served else 1.0


def finished(flight: Flight, duration_s: float) -> Finished:
    """Return the record of an ended flight."""
    hit = flight.hit
    answer = hit.entry.answer if hit is not None else flight.answer
    return Finished(
        request_id=flight.request.id,
        model=flight.request.model,
        tenant=flight.request.tenant,
        status=flight.status,
        ending=flight.ending or Ending.ABANDONED,
        duration_s=duration_s,
        input_tokens=answer.input_tokens if answer is not None else 0,
        output_tokens=answer.output_tokens if answer is not None else 0,
        miss_reason=flight.lookup.reason if isinstance(flight.lookup, Miss) else "",
        decisions=tuple(flight.decisions),
        labels=flight.request.labels,
        saved_usd=flight.saved_usd if hit is not None else 0.0,
    )
