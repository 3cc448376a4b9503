"""One request whose flight has begun: looked up, computed or refused, and answered."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...middleware.errors import ShedError
from ...middleware.records import Ending, Mode
from ...middleware.shown import headers_of, headers_of_refusal
from .answers import encoded, stream, whole
from .body import WhileHere
from .requests import form_of
from .source import START, AppSource, NotAnsweredError
from .types import headers_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...middleware.flight import Flight
    from ...middleware.pipeline import Pipeline
    from ...middleware.records import Hit
    from .body import Incoming, Outgoing
    from .endpoints import Endpoint
    from .types import App, Headers, Message, Scope

_OF_THE_ANSWER: Final = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"cache-control", b"x-accel-buffering"}
)
"""Headers that a twin is sent, too; others may be about the one who was first."""
_BROKEN: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request.

    Attributes:
        headers, body: the request's, read.
        echoed: headers that each response of ours has.
    """

    app: App
    pipeline: Pipeline
    endpoint: Endpoint
    scope: Scope
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    echoed: Headers
    flight: Flight
    incoming: Incoming
    outgoing: Outgoing

    async def serve(self) -> None:
        """Answer it; its flight has ended when this has.

        Raises:
            AppFailedError: the app raised.
            Exception: we failed.
        """
        pipeline, flight = self.pipeline, self.flight
        try:
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
            hit = self._fitting(flight.hit)
            if hit is None:
                async with WhileHere(self.incoming, self.outgoing):
                    hit = await self._compute()
            if hit is not None:
                await self._hand_out(hit)
                pipeline.finish(flight, Ending.COMPLETE)
        except ShedError as error:
            pipeline.finish(flight, Ending.FAILED)
            headers = [*encoded(headers_of_refusal(error, flight.request.id)), *self.echoed]
            await self.outgoing.send_all(whole(self.endpoint.refusal(error), headers, status=error.status))
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            pipeline.finish(flight, Ending.CANCELLED if cancelled else Ending.FAILED)
            raise
        pipeline.finish(flight, Ending.CANCELLED)  # of one whose client left; all others have ended

    async def _compute(self) -> Hit | None:
        """Wait for a twin or for room, and let the app answer; where a twin's answer came, return it instead."""
        pipeline, flight = self.pipeline, self.flight
        form = form_of(flight.request, self.body, self.headers)
        found = await pipeline.admit(flight, form=form)
        hit = self._fitting(found)
        if hit is not None:
            return hit
        if found is not None:
            await pipeline.admit(flight)
        source = AppSource(
            self.app,
            self.endpoint,
            self.scope,
            self.incoming.messages,
            form=form,
            stream=flight.request.stream,
            reads=flight.mode is not Mode.OFF,
        )
        try:
            async with aclosing(pipeline.run(flight, source)) as messages:
                async for message in messages:
                    await self.outgoing.send(self._told(message))
        except NotAnsweredError as refused:
            broken = any(message["type"] == START and message["status"] >= _BROKEN for message in refused.messages)
            hit = self._fitting(pipeline.rescue(flight, "engine_error")) if broken else None
            if hit is not None:
                return hit
            for message in refused.messages:
                await self.outgoing.send(self._told(message))
        return None

    def _fitting(self, hit: Hit | None) -> Hit | None:
        """Return a hit that holds all this request wants; one that does not is computed anew."""
        if hit is not None and not self.endpoint.fits(hit.entry.answer.body, self.body):
            self.flight.withdrawn("no_usage")
            return None
        return hit

    async def _hand_out(self, hit: Hit) -> None:
        headers = [*encoded(headers_of(self.flight)), *self.echoed]
        answer = hit.entry.answer.body
        streamed = self.flight.request.stream
        await self.outgoing.send_all(
            stream(self.endpoint.events(answer, self.body), headers) if streamed else whole(answer, headers)
        )

    def _told(self, message: Message) -> Message:
        """Return a message of the app; where it begins the response, with our headers."""
        if message["type"] != START:
            return message
        given = headers_in(message)
        if self.flight.live is not None:
            given = [*(pair for pair in given if pair[0].lower() in _OF_THE_ANSWER), *self.echoed]
        return {**message, "headers": [*given, *encoded(headers_of(self.flight))]}
