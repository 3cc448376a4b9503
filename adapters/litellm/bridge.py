"""Drives flights from LiteLLM's hooks.

LiteLLM re-enters its hooks on retries and fallbacks, stores twice and ends in several ways; no hook fires
always. So each hook only reports an event to the flight, found by the id it carries in the request's metadata,
and the flight takes each event once. Nothing here decides anything a stop decides.

| hook | event |
| --- | --- |
| pre_call | begin, analyze, lookup, check_room |
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
import json
import logging
import uuid
from time import time
from typing import TYPE_CHECKING, Any

import litellm

from ...middleware.chat import answer_of
from ...middleware.errors import ShedError
from ...middleware.modes import narrower
from ...middleware.narrow import is_object
from ...middleware.records import Ending, Mode
from .calls import Call, Calls
from .facade import install
from .host import broke_off, deployment_params, is_fallback, takes_headers
from .refusal import refusal
from .requests import (
    FLIGHT_ID,
    Fingerprint,
    build_request,
    client_fields,
    headers_of,
    metadata_of,
    tenant_of,
)
from .streams import has_end, logprobs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.flight import Flight
    from ...middleware.records import Hit
    from ...middleware.runtime import Runtime

log = logging.getLogger(__name__)


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
        self._starting: asyncio.Task[None] | None = None
        self._warned = False
        if self.cache is None:
            self._warn_displaced()

    def start_soon(self) -> None:
        """Begin to start, if a loop is running and it has not begun yet."""
        if self._starting is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # imported outside a loop: the first request starts it
            self._starting = loop.create_task(self.runtime.start())

    @property
    def ready(self) -> bool:
        """Whether the runtime has started; until then requests pass through."""
        return self._starting is not None and self._starting.done() and self._starting.exception() is None

    @property
    def serving(self) -> bool:
        """Whether LiteLLM's response cache is still ours."""
        return self.cache is not None and litellm.cache is self.cache

    async def started(self) -> None:
        """Start, or wait until the start that goes on is done."""
        self.start_soon()
        if self._starting is not None:
            await asyncio.wait({self._starting})

    async def stop(self) -> None:
        """Stop the runtime."""
        if self._starting is not None:
            await asyncio.wait({self._starting}, timeout=2.0)
        await self.runtime.stop()

    def call_of(self, data: Mapping[str, Any]) -> Call | None:
        """Return the call that request data belongs to, None for one that passes through."""
        return self._calls.of(data)

    async def begin(self, identity: object, data: dict[str, Any]) -> None:
        """A request arrived: analyze it, look it up, refuse it if it could not even wait.

        Raises:
            HTTPException: 429 or 503, where it was shed.
        """
        self.start_soon()
        metadata = metadata_of(data)
        if metadata is None or not self.ready:
            return
        if not self.serving:
            self._warn_displaced()
        request = build_request(
            data,
            request_id=f"fb-{uuid.uuid4().hex}",
            tenant=tenant_of(identity, self.runtime.config.litellm.tenant),
        )
        if request is None:
            return
        pipeline = self.runtime.pipeline
        parent = self.runtime.telemetry.parent_of(getattr(identity, "parent_otel_span", None), headers_of(data))
        flight = pipeline.begin(request, parent)
        try:
            if not self.serving:
                flight.mode = narrower(flight.mode, Mode.SHADOW)
            pipeline.analyze(flight)
            exact = flight.key.exact if flight.key is not None else None
            fingerprint = Fingerprint(request, client_fields(data), self.runtime.keyring, exact)
            self._calls.add(Call(flight, fingerprint))
            metadata[FLIGHT_ID] = request.id
            await pipeline.lookup(flight)
            pipeline.check_room(flight)
        except ShedError as error:
            self._finish(flight, Ending.FAILED)
            raise refusal(error, request.id) from None
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self._finish(flight, Ending.CANCELLED if cancelled else Ending.FAILED)
            raise

    async def enter(self, call: Call, kwargs: dict[str, Any]) -> None:
        """An attempt begins: check that the hit still holds, or wait for a twin or a lease.

        Raises:
            HTTPException: 429 or 503, where it was shed.
        """
        flight = call.flight
        self._calls.watch(call)
        if flight.ending is not None:
            return
        self._recheck(call, kwargs)
        await self._admit(call)
        if flight.hit is None:
            headers = self.runtime.pipeline.enter(flight)
            if headers and takes_headers(kwargs):
                kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), **headers}

    async def hand_out(self, kwargs: Mapping[str, Any]) -> JsonAnswer | None:
        """LiteLLM asks for an answer: return the hit's, if it still answers this request."""
        call = self.call_of(kwargs)
        if call is None or call.flight.hit is None:
            return None
        hit = self._recheck(call, kwargs)
        if hit is None:  # edited by a callback after ours: it goes to the engine, and through the gate
            await self._admit(call)
            return None
        # text, not the object: LiteLLM writes into what it gets
        return {"timestamp": time(), "response": json.dumps(dict(hit.entry.answer.body))}

    def take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        """LiteLLM brings an answer: the candidate for keeping."""
        call = self.call_of(kwargs)
        if call is None or call.flight.hit is not None or not is_object(value):
            return
        if is_fallback(kwargs):
            call.flight.decide("settle", "ignored", "fallback")
            return
        if not call.flight.request.stream and broke_off(kwargs):
            call.flight.decide("settle", "ignored", "finish_reason_null")
            return
        # without a key nothing will be kept; the answer only says what the engine used
        if call.flight.key is not None and not self._unedited(call, kwargs):
            call.flight.decide("settle", "ignored", "edited")
            return
        body = value.get("response")
        try:
            parsed = json.loads(body) if isinstance(body, (str, bytes)) else body
        except ValueError:
            return
        if not is_object(parsed):
            return
        request = call.flight.request
        if request.stream and request.params.get("logprobs") and len(parsed.get("choices") or ()) == 1:
            parsed["choices"][0]["logprobs"] = logprobs_of(call.stream)
        call.flight.answered(answer_of(parsed))

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

    def stream_began(self, call: Call) -> None:
        """The first chunk of a stream is being sent."""
        call.iterating = True
        call.flight.first_token()

    def stream_ended(self, call: Call, ending: Ending) -> None:
        """A stream is over, or its client left."""
        call.iterating = True
        if ending is Ending.COMPLETE and call.flight.hit is None and not has_end(call.stream):
            ending = Ending.FAILED
        self._finish(call.flight, ending)

    def response_headers(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Return our response headers for a call."""
        call = self.call_of(data)
        if call is None:
            return {}
        flight = call.flight
        headers = {"x-forebay-cache": flight.status.value, "x-forebay-id": flight.request.id}
        if self.runtime.config.litellm.similarity_header and flight.hit is not None:
            headers["x-forebay-similarity"] = f"{flight.hit.similarity:.4f}"
        return headers

    async def _admit(self, call: Call) -> None:
        try:
            await self.runtime.pipeline.admit(call.flight)
        except ShedError as error:
            self._finish(call.flight, Ending.FAILED)
            raise refusal(error, call.flight.request.id) from None

    def _recheck(self, call: Call, kwargs: Mapping[str, Any]) -> Hit | None:
        """Return the hit, unless it no longer answers this call; then no twin's answer does, either."""
        flight = call.flight
        if flight.key is None:
            return flight.hit  # looked up and shared with nobody
        if not self._asked(kwargs):
            flight.withdrawn("cache_disabled")
        elif not self._unedited(call, kwargs):
            flight.withdrawn("edited")
        return flight.hit

    @staticmethod
    def _unedited(call: Call, kwargs: Mapping[str, Any]) -> bool:
        return call.fingerprint.matches(kwargs, lambda: deployment_params(kwargs))

    def _asked(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether LiteLLM will ask its cache for this call's answer."""
        cache = kwargs.get("cache")
        caching = kwargs.get("caching")
        return self.serving and caching in (None, True) and not (is_object(cache) and cache.get("no-cache") is True)

    def _finish(self, flight: Flight, ending: Ending) -> None:
        self.runtime.pipeline.finish(flight, ending)
        self._calls.forget_soon(flight)

    def _warn_displaced(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "another response cache is configured in LiteLLM, so forebay cannot hand answers out and only "
                "observes; remove 'cache: true' and 'cache_params' from litellm_settings"
            )


JsonAnswer = dict[str, Any]
