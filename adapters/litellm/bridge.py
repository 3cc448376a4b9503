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
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any, Final

import litellm

from ...middleware.chat import answer_of
from ...middleware.errors import ShedError
from ...middleware.modes import narrower
from ...middleware.narrow import is_object
from ...middleware.records import Ending, Mode
from .facade import install
from .host import deployment_params, takes_headers
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
LINGER_S: Final = 5.0
"""How long an ended flight is kept: LiteLLM asks for response headers after the call has ended."""
STREAM_START_S: Final = 10.0
"""How long an opened stream may go unread before it counts as abandoned."""
RETRY_S: Final = 1.0
"""How long after a failed call a retry may begin before the flight counts as failed."""


@dataclass(slots=True)
class Call:
    """One LiteLLM call and its flight."""

    flight: Flight
    fingerprint: Fingerprint
    attempts: int = 0
    tasks: set[int] = field(default_factory=set[int])
    stream: object = None
    iterating: bool = False


class Bridge:
    """The calls of one proxy process.

    Args:
        runtime: built, not yet started.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.cache = install(self)
        self.seen: set[str] = set()
        self._calls: dict[str, Call] = {}
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
        metadata = metadata_of(data)
        found = metadata.get(FLIGHT_ID) if metadata is not None else None
        return self._calls.get(found) if isinstance(found, str) else None

    async def begin(self, identity: object, data: dict[str, Any]) -> None:
        """A request arrived: analyze it, look it up, refuse it if it could not even wait.

        Raises:
            HTTPException: 429 or 503, where it was shed.
        """
        self.start_soon()
        metadata = metadata_of(data)
        if metadata is None:
            return
        metadata.pop(FLIGHT_ID, None)  # a client must not name somebody else's flight
        if not self.ready:
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
            fingerprint = Fingerprint(request, client_fields(data), self.runtime.keyring)
            self._calls[request.id] = Call(flight, fingerprint)
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
        call.attempts += 1
        self._watch(call)
        if flight.ending is not None:
            return
        self._recheck(call, kwargs)
        await self._admit(call)
        # a twin's answer, too, only answers the request that was looked up
        if self._recheck(call, kwargs) is None:
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
        if not call.fingerprint.matches(kwargs, deployment_params(kwargs)):
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
        """Return the hit, unless it no longer answers this call."""
        flight = call.flight
        if flight.hit is not None:
            if not self._asked(kwargs):
                flight.withdrawn("cache_disabled")
            elif not call.fingerprint.matches(kwargs, deployment_params(kwargs)):
                flight.withdrawn("edited")
        return flight.hit

    def _asked(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether LiteLLM will ask its cache for this call's answer."""
        cache = kwargs.get("cache")
        caching = kwargs.get("caching")
        return self.serving and caching in (None, True) and not (is_object(cache) and cache.get("no-cache") is True)

    def _watch(self, call: Call) -> None:
        task = asyncio.current_task()
        if task is not None and id(task) not in call.tasks:
            call.tasks.add(id(task))
            attempt = call.attempts
            task.add_done_callback(lambda done: self._task_done(call, attempt, done))

    def _task_done(self, call: Call, attempt: int, task: asyncio.Task[Any]) -> None:
        flight = call.flight
        if flight.ending is not None:
            flight.release()
            return
        loop = asyncio.get_running_loop()
        if task.cancelled():
            self._finish(flight, Ending.CANCELLED)
        elif task.exception() is not None:
            # the task may have been one attempt's only: a retry in another task keeps the flight
            flight.release()
            loop.call_later(RETRY_S, self._give_up, call, attempt)
        elif flight.request.stream:
            call.stream = task.result()
            loop.call_later(STREAM_START_S, self._unread, call)
        else:
            self._finish(flight, Ending.COMPLETE)

    def _give_up(self, call: Call, attempt: int) -> None:
        if call.attempts == attempt:
            self._finish(call.flight, Ending.FAILED)

    def _unread(self, call: Call) -> None:
        if not call.iterating:
            self._finish(call.flight, Ending.ABANDONED)

    def _finish(self, flight: Flight, ending: Ending) -> None:
        self.runtime.pipeline.finish(flight, ending)
        asyncio.get_running_loop().call_later(LINGER_S, self._calls.pop, flight.request.id, None)

    def _warn_displaced(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "another response cache is configured in LiteLLM, so forebay cannot hand answers out and only "
                "observes; remove 'cache: true' and 'cache_params' from litellm_settings"
            )


JsonAnswer = dict[str, Any]
