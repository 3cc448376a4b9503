"""The pipeline: one request, five stops, forward only.

`handle` drives a flight in a straight line. Hosts that own the call (LiteLLM) drive the same stops from their
hooks. No adapter writes a stop again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar, cast

from opentelemetry.trace import INVALID_SPAN

from . import semconv
from .answer_values import answer_values
from .batch_parts import share
from .chunks import ChunkSource, replayed, wants_usage
from .errors import EngineError, ShedError
from .flight import Flight
from .freshness import serves_failure
from .generation import LeaderFailedError
from .records import CacheStatus, Ending, Hit, JsonObject, Mode, Tier
from .run import RunStop
from .sharing import Sharing
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from opentelemetry.context import Context

    from .admission.lanes import Lanes
    from .analysis.facts import RequestFacts
    from .analyze import AnalyzeStop
    from .config import Config
    from .generation import Source
    from .keys import Keyring
    from .lookup import LookupStop
    from .modes import Modes
    from .protocols import Engine
    from .records import Answer, Entry, Key, Lookup, Request
    from .settle import SettleStop
    from .telemetry import Telemetry
    from .twins import Twins

log = logging.getLogger(__name__)
SERVER_ERROR: Final = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stops:
    """What the pipeline is made of."""

    analyze: AnalyzeStop
    lookup: LookupStop
    gate: Lanes
    settle: SettleStop
    twins: Twins
    modes: Modes
    keyring: Keyring
    telemetry: Telemetry


@dataclass(frozen=True, slots=True)
class Reply:
    """What `handle` returns.

    Attributes:
        body: the whole answer; None for a stream.
        chunks: the stream, to be iterated once; None for a whole answer.
    """

    request_id: str
    status: CacheStatus
    body: JsonObject | None = None
    chunks: AsyncGenerator[JsonObject, None] | None = None


class Pipeline:
    """Carries flights through the stops. Belongs to one event loop.

    Args:
        flight_deadline_s: closes a flight that nobody closed.
    """

    def __init__(
        self, stops: Stops, config: Config, *, flight_deadline_s: float = 600.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._stops = stops
        self._config = config
        self._deadline_s = flight_deadline_s
        self._clock = clock
        self._settling: set[asyncio.Task[None]] = set()
        self._sharing = Sharing(stops.twins, config.cache)
        self.telemetry = stops.telemetry
        self.gate = stops.gate
        self.inflight = 0
        self._run = RunStop(self._sharing, stops.telemetry, enter=self.enter, finish=self.finish)

    def begin(self, request: Request, parent: Context | None = None) -> Flight:
        """Start a flight. From here on it must be finished; the deadline does it where nobody does."""
        span = self.telemetry.root(parent, {semconv.REQUEST_ID: request.id, semconv.REQUEST_MODEL: request.model})
        if span.is_recording():
            annotate(span, {semconv.TENANT_HASH: self._stops.keyring.digest("tenant", request.tenant)[:16]})
        flight = Flight(request, self._stops.modes.of(request), span, now_s=self._clock())
        flight.timer = asyncio.get_running_loop().call_later(
            request.deadline_s or self._deadline_s, self.finish, flight, Ending.ABANDONED
        )
        self.inflight += 1
        return flight

    def analyze(self, flight: Flight) -> RequestFacts:
        """Stop 1: find facts and the key, and choose a strategy."""
        return self._stops.analyze.run(flight)

    def key_of(self, request: Request) -> Key:
        """Return the key of a request's answer.

        Raises:
            UncacheableError: a field has no canonical form.
        """
        return self._stops.analyze.key_of(request)

    async def lookup(self, flight: Flight) -> Lookup:
        """Stop 2: look for an answer; where there is none, predict what computing it takes."""
        found = await self._stops.lookup.run(flight)
        self._stops.analyze.predict(flight)
        return found

    def has_room(self, lane: str) -> bool:
        """Return whether a request to this deployment would be let in or could wait. Fails open."""
        try:
            return self.gate.has_room(lane)
        except Exception as error:
            self.telemetry.dependency_error("admission", type(error).__name__)
            return True

    def check_room(self, flight: Flight, lanes: Sequence[str] = ()) -> None:
        """Refuse a miss that could not even wait.

        Args:
            lanes: the deployments it may go to; none where that is not known yet.

        Raises:
            ShedError: the queue is full, of each of them.
        """
        waits = flight.hit is None and flight.mode is Mode.SERVE and not self._sharing.follows(flight)
        if waits and self._old(flight) is None:
            named = lanes or ([""] if len(self.gate) == 1 else [])
            try:
                ticket = self._stops.analyze.ticket(flight)
                if named and not any(self.gate.has_room(lane, ticket) for lane in named):
                    raise ShedError("queue_full", status=429, retry_after_s=1)
            except ShedError as error:
                self._shed(flight, error)
                raise
            except Exception as error:  # fail open, as in `admit`
                self.telemetry.dependency_error("admission", type(error).__name__)

    async def admit(self, flight: Flight, lane: str = "", *, form: str | None = None) -> Hit | None:
        """Stop 3: wait for a twin's answer or for a lease. Called again for every attempt.

        Args:
            lane: the deployment it goes to; each has a queue and a limit of its own.
            form: of the answer, where this request could read an equal one's while it is computed: see `Source`.

        Returns:
            The hit to serve, None where the engine must be asked, or an equal request's call be read: `run` does either.

        Raises:
            ShedError: the queue is full, or the wait took too long; and there is no old answer that may be served instead.
        """
        if flight.hit is not None or flight.mode is not Mode.SERVE:
            return flight.hit
        span = self.telemetry.child(semconv.SPAN_ADMISSION, flight.span)
        came_s = self._clock()
        try:
            if span.is_recording():
                annotate(span, {semconv.QUEUE_DEPTH: self.gate.of(lane).load.queued})
            if await self._sharing.join(flight, form):
                annotate(span, {semconv.ADMISSION_OUTCOME: "twin"})
                return flight.hit
            flight.release()
            flight.lane = lane
            lease = await self.gate.of(lane).acquire(
                self._stops.analyze.ticket(flight), self._config.admission.queue_timeout_s
            )
            annotate(span, {semconv.ADMISSION_OUTCOME: "admitted", semconv.QUEUE_WAIT: lease.waited_s})
        except ShedError as error:
            waited_s = self._clock() - came_s
            if self.rescue(flight, error.reason) is not None:
                annotate(span, {semconv.ADMISSION_OUTCOME: "stale", semconv.SHED_REASON: error.reason})
                return flight.hit
            annotate(
                span,
                {
                    semconv.ADMISSION_OUTCOME: "shed",
                    semconv.SHED_REASON: error.reason,
                    semconv.QUEUE_WAIT: waited_s,
                },
            )
            self._shed(flight, error, waited_s)
            raise
        except Exception as error:  # fail open: a broken ordering or limit must not hold a request back
            annotate(span, {semconv.ADMISSION_OUTCOME: "open", semconv.ERROR_TYPE: type(error).__name__})
            self.telemetry.dependency_error("admission", type(error).__name__)
            flight.decide("admit", "open", type(error).__name__)
            return None
        finally:
            end_span(span)
        flight.leased(lease)
        self.telemetry.seconds(semconv.METRIC_QUEUE_SECONDS, lease.waited_s)
        flight.decide("admit", "admitted", waited_s=round(lease.waited_s, 6))
        return None

    def rescue(self, flight: Flight, why: str) -> Hit | None:
        """Return the old answer to this very request where it may be served although computing it anew failed, else None.

        Args:
            why: a bounded label of the failure.
        """
        old = self._old(flight)
        if old is None:
            return None
        age_s = max(0.0, self._stops.twins.clock() - old.created_s)
        flight.served_by(Hit(Tier.EXACT, old, 1.0, 1.0, age_s, stale=True))
        flight.decide("run", "stale_if_error", why, entry=old.id)
        return flight.hit

    def enter(self, flight: Flight, *, provider: str = "openai") -> dict[str, str]:
        """Stop 4 begins: return the trace headers that make the engine our child."""
        flight.entered(self.telemetry.engine_span(flight.span, flight.request.model, provider=provider))
        return self.telemetry.inject(flight.engine_span, flight.span)

    async def run(self, flight: Flight, source: Source[T], lane: str = "") -> AsyncGenerator[T, None]:
        """Stop 4: yield what the engine does, or what it does for an equal request. Closing it ends the flight; its end does, too.

        Args:
            source: the call; opened only where there is no other to read along.
            lane: as for `admit`.

        Raises:
            ShedError: the call it read along failed at once, and there is no room for its own.
            Exception: whatever the engine raised.
        """
        if flight.live is not None:
            try:
                async with aclosing(self._run.follow(flight)) as pieces:
                    async for piece in pieces:
                        yield cast("T", piece)
                return
            except LeaderFailedError:
                flight.reads_no_more()
            await self._again(flight, lane)
        async with aclosing(self._run.lead(flight, source)) as led:
            async for piece in led:
                yield piece

    async def _again(self, flight: Flight, lane: str) -> None:
        """Let a flight in that had followed another's call in vain."""
        try:
            await self.admit(flight, lane)
        except BaseException as error:
            self.finish(flight, Ending.FAILED if isinstance(error, Exception) else Ending.CANCELLED)
            raise

    def finish(self, flight: Flight, ending: Ending) -> None:
        """The call is over: give everything back and settle in the background. Idempotent."""
        if not flight.ended(ending):
            self._end_engine_span(flight)  # of an attempt that began after the flight's deadline
            return
        self.inflight -= 1
        self._end_engine_span(flight)
        key = flight.key
        if key is not None and ending in (Ending.CANCELLED, Ending.ABANDONED):
            self._stops.twins.hand_over(key.exact, flight.request.id)
        settle = self.telemetry.child(semconv.SPAN_SETTLE, flight.span)
        self.telemetry.count(semconv.METRIC_REQUESTS, status=flight.status.value, ending=ending.value)
        if flight.hit is not None:
            saved = flight.hit.entry.answer
            self.telemetry.count(semconv.METRIC_TOKENS_SAVED, saved.input_tokens + saved.output_tokens)
        end_span(flight.span, **{semconv.OUTCOME: flight.status.value, semconv.ENDING: ending.value})
        task = asyncio.get_running_loop().create_task(
            self._stops.settle.run(flight, settle, self._clock() - flight.started_s)
        )
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def handle(self, request: Request, engine: Engine, parent: Context | None = None) -> Reply:
        """Carry a request from end to end.

        Raises:
            ShedError: forebay refused it.
            EngineError: the engine did.
        """
        flight = self.begin(request, parent)
        try:
            self.analyze(flight)
            await self.lookup(flight)
            hit = await self.admit(flight)
            if hit is not None:
                return self._from_cache(flight, hit)
            if request.stream:
                chunks = self._chunks(flight, engine)
                await anext(chunks)
                return Reply(request.id, flight.status, chunks=chunks)
            try:
                answer = await engine.complete(request, self.enter(flight))
            except EngineError as error:
                broken = error.status is None or error.status >= SERVER_ERROR
                rescued = self.rescue(flight, "engine_error") if broken else None
                if rescued is None:
                    raise
                return self._from_cache(flight, rescued)
            flight.answered(answer)
            self.finish(flight, Ending.COMPLETE)
            return Reply(request.id, flight.status, body=answer.body)
        except asyncio.CancelledError:
            self.finish(flight, Ending.CANCELLED)
            raise
        except BaseException:
            self.finish(flight, Ending.FAILED)
            raise

    async def remember(self, request: Request, answer: Answer, *, age_s: float = 0.0, took_s: float = 0.0) -> str:
        """Keep an answer that was computed elsewhere, where one that is computed now would be kept.

        It is no request: nothing is looked up, queued or asked, and nothing is counted but its strategy and the write.

        Args:
            age_s: how long ago it was computed, at least 0; it expires so much sooner.
            took_s: how long that took: what was forgotten since it began is not kept.

        Returns:
            "" where it is kept, else a label: why not as of any answer, or ``already_kept``, ``expired`` or ``error``.
        """
        mode = self._stops.modes.of(request)
        flight = Flight(request, mode, INVALID_SPAN, now_s=self._clock() - age_s - took_s)
        self.analyze(flight)
        share(flight, answer)
        flight.answered(answer)
        flight.ended(Ending.COMPLETE)
        return await self._stops.settle.keep(flight, age_s)

    async def drain(self, timeout_s: float) -> None:
        """Wait for background work of ended flights, at most this long; then cancel what is left."""
        pending = set(self._settling)
        if pending:
            _, late = await asyncio.wait(pending, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    def _from_cache(self, flight: Flight, hit: Hit) -> Reply:
        body = hit.entry.answer.body
        self.finish(flight, Ending.COMPLETE)
        if not flight.request.stream:
            return Reply(flight.request.id, flight.status, body=body)
        return Reply(flight.request.id, flight.status, chunks=replayed(body, include_usage=wants_usage(flight.request)))

    async def _chunks(self, flight: Flight, engine: Engine) -> AsyncGenerator[JsonObject, None]:
        with_usage = wants_usage(flight.request)
        try:
            yield {}  # taken by `handle`: from here on closing the stream, even unread, ends the flight
            async with aclosing(self.run(flight, ChunkSource(engine, flight.request))) as chunks:
                async for chunk in chunks:
                    if chunk.get("choices") or with_usage:  # engines are always asked for usage: it is what we count
                        yield chunk
        finally:
            self.finish(flight, Ending.CANCELLED)  # of one that was closed unread

    def _old(self, flight: Flight) -> Entry | None:
        """Return the old answer that may be served to a flight if computing it anew fails."""
        old = flight.outdated
        serves = flight.mode is Mode.SERVE and self._config.cache.exact is Mode.SERVE and not flight.alone
        if old is None or not serves or not self._stops.lookup.still_holds(flight, old):
            return None
        return old if serves_failure(old, flight.request.controls, self._stops.twins.clock()) else None

    def _shed(self, flight: Flight, error: ShedError, waited_s: float = 0.0) -> None:
        flight.shed()
        flight.decide("admit", "shed", error.reason, waited_s=round(waited_s, 6))
        self.telemetry.count(semconv.METRIC_SHED, reason=error.reason)

    @staticmethod
    def _end_engine_span(flight: Flight) -> None:
        if flight.engine_span.is_recording():
            failed = flight.ending not in (None, Ending.COMPLETE)
            error = flight.ending.value if failed and flight.ending is not None else None
            end_span(flight.engine_span, error=error, **answer_values(flight.answer))
