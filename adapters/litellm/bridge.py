"""Drives flights from LiteLLM's hooks.

LiteLLM re-enters its hooks on retries and fallbacks, stores twice and ends in several ways; no hook fires
always. So each hook only reports an event to the flight, found by the id it carries in the request's metadata,
and the flight takes each event once. Nothing here decides anything a stop decides.

| hook | event |
| --- | --- |
| pre_call | begin, analyze, lookup, check_room |
| filter_deployments | none: leave deployments out |
| pre_call_deployment | still the same request? admit, enter the engine |
| cache get | still the same? hand the answer out |
| failure_deployment | give this attempt's lease back, drop its answer |
| cache set | the candidate for keeping |
| the call's task is done | failed: finish; whole: finish; stream: hand over to the iterator |
| streaming_iterator | finish |
| post_call_success, post_call_failure | finish, where nothing did |
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from time import time
from typing import TYPE_CHECKING, Any

import litellm

from ...middleware.deadline import within
from ...middleware.errors import ShedError
from ...middleware.narrow import is_object
from ...middleware.records import Ending, Entry, Hit, Tier
from .batches import index_of, items_in, kept_item, whole_batch
from .calls import Call, Calls
from .endpoints import ENDPOINTS
from .endpoints.base import Collecting, value_of
from .engine import RouterEngine
from .facade import KEY_PREFIX, install, is_item_key
from .host import broke_off, deployment_id, deployment_params, is_fallback, is_unfinished, lanes_of, takes_headers
from .refusal import RefusedByForebay, passed_on, refusal
from .replicas import Replicas
from .requests import (
    FLIGHT_ID,
    Fingerprint,
    build_request,
    client_fields,
    headers_of,
    hints_of,
    labels_of,
    metadata_of,
    tenant_of,
)
from .shown import note_savings
from .streams import chunked, has_end
from .thrift import set_start_up_aside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.flight import Flight
    from ...middleware.records import Answer
    from ...middleware.runtime import Runtime

log = logging.getLogger(__name__)
AT_ONCE_WORDS = 64
"""Words in a piece of a stream that is replayed without pauses: fewer pieces cost less."""


class Bridge:
    """The calls of one proxy process.

    Args:
        runtime: built, not yet started.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.cache = install(self)
        self.seen: set[str] = set()
        self._calls = Calls(self._finish)
        self.replicas = Replicas(runtime)
        self._starting: asyncio.Task[None] | None = None
        billed_to = runtime.config.litellm.billed_to
        if billed_to is not None and runtime.background is None:
            runtime.call_behind(RouterEngine(billed_to))
        speed = runtime.config.litellm.replay_words_per_s
        self.refuses = runtime.config.litellm.shed == "refuse"
        self.pause_s = 1.0 / speed if speed is not None else 0.0

    def start_soon(self) -> None:
        """Begin to start, if a loop is running and it has not begun yet."""
        if self._starting is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # imported outside a loop: the first request starts it
            self._starting = loop.create_task(self._start())

    @property
    def ready(self) -> bool:
        """Whether the runtime has started; until then requests pass through."""
        return self._starting is not None and self._starting.done() and self._starting.exception() is None

    async def _start(self) -> None:
        await self.runtime.start()
        set_start_up_aside()

    async def started(self) -> None:
        """Start, or wait until the start that goes on is done."""
        self.start_soon()
        if self._starting is not None:
            await asyncio.wait({self._starting})

    async def stop(self) -> None:
        """Stop the runtime."""
        if self._starting is not None:
            await asyncio.wait({self._starting}, timeout=2.0)
        await self.replicas.stop()
        await self.runtime.stop()

    def call_of(self, data: Mapping[str, Any]) -> Call | None:
        """Return the call that request data belongs to, None for one that passes through."""
        return self._calls.of(data)

    async def begin(self, identity: object, data: dict[str, Any], call_type: str) -> None:
        """A request arrived: analyze it, look it up, refuse it if it could not even wait.

        Raises:
            HTTPException: 429 or 503, where it was shed.
        """
        self.start_soon()
        endpoint = ENDPOINTS.get(call_type)
        metadata = metadata_of(data, endpoint.metadata) if endpoint is not None else None
        if endpoint is None or metadata is None or not self.ready:
            return
        if litellm.cache is not self.cache:
            self.cache = install(self)  # LiteLLM set its own up after the callbacks: it is wrapped
        request = build_request(
            data,
            endpoint,
            request_id=f"fb-{uuid.uuid4().hex}",
            tenant=tenant_of(identity, self.runtime.config.litellm.tenant),
            labels=labels_of(identity),
            hints=hints_of(identity, data),
        )
        if request is None:
            return
        pipeline = self.runtime.pipeline
        parent = self.runtime.telemetry.parent_of(getattr(identity, "parent_otel_span", None), headers_of(data))
        flight = pipeline.begin(request, parent)
        try:
            pipeline.analyze(flight)
            exact = flight.key.exact if flight.key is not None else None
            fingerprint = Fingerprint(request, endpoint, client_fields(data), pipeline.key_of, exact)
            self._calls.add(Call(flight, endpoint, fingerprint, items=items_in(flight, data)))
            metadata[FLIGHT_ID] = request.id
            await pipeline.lookup(flight)
            if self.refuses:
                pipeline.check_room(flight, lanes_of(request.model))
        except ShedError as error:
            self._finish(flight, Ending.FAILED)
            raise refusal(error, request.id) from None
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self._finish(flight, Ending.CANCELLED if cancelled else Ending.FAILED)
            raise

    async def enter(self, call: Call, kwargs: dict[str, Any], call_type: str) -> None:
        """An attempt begins: check that the hit still holds, or wait for a twin or a lease.

        Raises:
            HTTPException: 429 or 503, where it was shed.
        """
        flight = call.flight
        if call_type != call.endpoint.call_type:
            return  # LiteLLM serves this endpoint through another one: the outer call is ours
        self._calls.watch(call)
        if flight.ending is not None:
            return
        call.fallback, call.broken = is_fallback(kwargs), False
        call.chunks.clear()
        self._recheck(call, kwargs)
        await self._ask_host(call, kwargs)
        await self._admit(call, kwargs)
        if flight.hit is None:
            headers = self.runtime.pipeline.enter(flight)
            if headers and takes_headers(kwargs):
                kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), **headers}
        else:
            note_savings(call, kwargs)

    def offer(self, model: str, deployments: list[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return those of the healthy deployments that the router shall choose from."""
        if len(deployments) < 2 or not self.ready:  # noqa: PLR2004  (nothing to choose)
            return deployments
        has_room = self.runtime.pipeline.has_room
        roomy = [one for one in deployments if has_room(deployment_id(one))] or deployments
        call = self.call_of(kwargs)
        return roomy if call is None else self.replicas.offer(model, roomy, call.flight, kwargs)

    def key_of(self, kwargs: Mapping[str, Any]) -> str | None:
        """Return the cache key LiteLLM shall use for a call, or for one of its embedding items."""
        call = self.call_of(kwargs)
        key = call.flight.key if call is not None else None
        if call is None or key is None:
            return None
        flight = call.flight
        if flight.parts:
            return f"{KEY_PREFIX}{flight.request.id}:{index_of(call, kwargs.get('input'))}"
        return f"{KEY_PREFIX}{flight.hit.entry.id if flight.hit is not None else key.exact}"

    async def hand_out(self, kwargs: Mapping[str, Any]) -> object:
        """LiteLLM asks for an answer: return the hit's, if it still answers this request.

        Raises:
            HTTPException: 429 or 503, where it does not and was shed.
        """
        try:
            return await self._hand_out(kwargs)
        except RefusedByForebay:
            raise
        except Exception as error:  # fail open
            self.failed("cache_get", error)
            return None

    async def _hand_out(self, kwargs: Mapping[str, Any]) -> object:
        item = kwargs.get("cache_key")
        if isinstance(item, str) and is_item_key(item):
            flight_id, _, index = item.removeprefix(KEY_PREFIX).rpartition(":")
            return kept_item(self._calls.named(flight_id), int(index))
        call = self.call_of(kwargs)
        if call is None or call.flight.hit is None:
            return None
        hit = self._recheck(call, kwargs)
        if hit is None:  # edited by a callback after ours: it goes to the engine, and through the gate
            await self._admit(call, kwargs)
            return None
        try:
            return call.endpoint.hand_out(call.flight, kwargs, 1 if self.pause_s > 0 else AT_ONCE_WORDS)
        except Exception as error:  # fail open: what cannot be replayed is computed
            self.failed("replay", error)
            call.flight.withdrawn("error")
            await self._admit(call, kwargs)
            return None

    def asked_host(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether the operator's own cache was asked for this attempt already; says so once."""
        call = self.call_of(kwargs)
        if call is None:
            return False
        asked, call.asked_host = call.asked_host, False
        return asked

    def take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        """LiteLLM brings an answer: the candidate for keeping."""
        try:
            self._take_in(kwargs, value)
        except Exception as error:  # fail open: it is not kept
            self.failed("cache_set", error)

    def _take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        call = self.call_of(kwargs)
        if call is None or call.flight.hit is not None:
            return
        flight = call.flight
        brought = value_of(value)
        if flight.parts:
            kwargs, brought = whole_batch(call, kwargs, brought)
        answer = call.endpoint.answer(flight, brought, call.stream if flight.request.stream else None)
        if answer is None:
            # of a call inside this one, through which LiteLLM serves this endpoint; its end is the true one
            call.broken = call.broken or is_unfinished(brought)
            return
        call.fallback = call.fallback or is_fallback(kwargs)
        if not flight.request.stream and broke_off(kwargs):
            flight.decide("settle", "ignored", "finish_reason_null")
            return
        # without a key nothing will be kept; the answer only says what the engine used
        call.edited = call.edited or (flight.key is not None and not self._unedited(call, kwargs))
        self._offer(call, answer)

    def attempt_failed(self, data: Mapping[str, Any]) -> None:
        """An attempt failed; a retry may follow."""
        call = self.call_of(data)
        if call is not None:
            call.flight.release()
            call.flight.dropped()

    def ended(self, data: Mapping[str, Any], ending: Ending) -> None:
        """LiteLLM says that a call is over."""
        call = self.call_of(data)
        if call is not None:
            self._finish(call.flight, ending)

    def streamed(self, call: Call, chunk: object) -> None:
        """A chunk of a stream is being sent."""
        if not call.iterating:
            call.iterating = True
            call.flight.first_token()
            # not before: LiteLLM makes some of its streams when the first chunk is asked for
            call.stream = chunked(call.opened)
        if call.flight.key is not None and call.flight.hit is None and isinstance(call.endpoint, Collecting):
            call.chunks.append(chunk)

    def stream_ended(self, call: Call, ending: Ending) -> None:
        """A stream is over, or its client left."""
        call.iterating = True
        unfinished = call.stream is not None and not has_end(call.stream)
        if ending is Ending.COMPLETE and call.flight.hit is None and unfinished:
            ending = Ending.FAILED
        brought = call.flight.answer is not None
        if ending is Ending.COMPLETE and call.chunks and not brought and isinstance(call.endpoint, Collecting):
            answer = call.endpoint.collected(call.flight, call.chunks)
            if answer is not None:
                self._offer(call, answer)
        self._finish(call.flight, ending)

    @staticmethod
    def _offer(call: Call, answer: Answer) -> None:
        reason = "fallback" if call.fallback else "edited" if call.edited else "not_complete" if call.broken else ""
        if reason:
            call.flight.decide("settle", "ignored", reason)
        else:
            call.flight.answered(answer)

    def failed(self, where: str, error: Exception) -> None:
        """A defect of ours: counted, logged without the request's content, and the request goes on."""
        self.runtime.telemetry.dependency_error(f"litellm.{where}", type(error).__name__)
        log.warning("forebay failed in %s: %s; the request goes on without it", where, type(error).__name__)
        log.debug("details", exc_info=error)

    async def _admit(self, call: Call, kwargs: Mapping[str, Any]) -> None:
        try:
            await self.runtime.pipeline.admit(call.flight, deployment_id(kwargs))
        except ShedError as error:
            if not self.refuses:  # the flight goes on: LiteLLM says when it has tried everything
                raise passed_on(error, call.flight.request.id) from None
            self._finish(call.flight, Ending.FAILED)
            raise refusal(error, call.flight.request.id) from None

    async def _ask_host(self, call: Call, kwargs: Mapping[str, Any]) -> None:
        """Ask the operator's own cache before waiting for anything: a further exact tier."""
        flight = call.flight
        key = flight.key
        skip = flight.hit is not None or key is None or bool(flight.parts) or not self._asked(kwargs)
        if skip or key is None or self.cache.inner is None:
            return
        try:
            async with within(self.runtime.config.cache.lookup_deadline_ms / 1000):
                value = await self.cache.ask_inner(kwargs)
        except Exception as error:  # fail open
            self.runtime.telemetry.dependency_error("litellm.cache", type(error).__name__)
            return
        call.asked_host = value is None
        answer = call.endpoint.answer(flight, value_of(value), None) if value is not None else None
        if answer is None or flight.alone:
            return
        now = time()
        request = flight.request
        entry = Entry(key.exact, key.scope, key.context, key.text, answer, request.model, "", now, now)
        flight.served_by(Hit(Tier.EXACT, entry, 1.0, 1.0, 0.0))
        flight.decide("lookup", "hit", "litellm_cache")

    def _recheck(self, call: Call, kwargs: Mapping[str, Any]) -> Hit | None:
        """Return the hit, unless it no longer answers this call; then no twin's answer does, either."""
        flight = call.flight
        if flight.key is None:
            return flight.hit  # looked up and shared with nobody
        reason = None if self._asked(kwargs) else "cache_disabled"
        call.edited = not self._unedited(call, kwargs)
        if reason is None and call.edited:
            reason = "edited"
        if reason is not None:
            flight.withdrawn(reason)
            for part in flight.parts:
                part.entry = None
        return flight.hit

    @staticmethod
    def _unedited(call: Call, kwargs: Mapping[str, Any]) -> bool:
        return call.fingerprint.matches(kwargs, lambda: deployment_params(kwargs))

    def _asked(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether LiteLLM will ask its cache for this call's answer."""
        cache = kwargs.get("cache")
        caching = kwargs.get("caching")
        ours = litellm.cache is self.cache
        return ours and caching in (None, True) and not (is_object(cache) and cache.get("no-cache") is True)

    def _finish(self, flight: Flight, ending: Ending) -> None:
        self.runtime.pipeline.finish(flight, ending)
        self._calls.forget_soon(flight)
