"""The calls LiteLLM makes, their flights, and how the task that makes a call ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ...middleware.records import Ending
from .requests import FLIGHT_ID, METADATA, metadata_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...middleware.flight import Flight
    from .endpoints.base import Endpoint
    from .requests import Fingerprint

LINGER_S: Final = 5.0
"""How long an ended flight is kept: LiteLLM asks for response headers after the call has ended."""
STREAM_START_S: Final = 10.0
"""How long an opened stream may go unread before it counts as abandoned."""
RETRY_S: Final = 1.0
"""How long after a failed call a retry may begin before the flight counts as failed."""


@dataclass(slots=True)
class Call:
    """One LiteLLM call and its flight.

    Attributes:
        attempts: how often LiteLLM began it: retries and fallbacks count.
        fallback: another model than the caller asked for is trying.
        edited: the attempt asks for something else than was looked up.
        asked_host: the operator's own cache was asked for this attempt.
        broken: a call inside this one ended badly, which LiteLLM hides.
        opened: what the call returned: a stream, for a streamed call.
        stream: the stream in it that remembers its chunks, None where there is none; known from the first chunk on.
        chunks: of a stream, where LiteLLM will not bring its answer.
        items: of a batch, its input items in canonical form, one a part.
    """

    flight: Flight
    endpoint: Endpoint
    fingerprint: Fingerprint
    attempts: int = 0
    tasks: set[int] = field(default_factory=set[int])
    fallback: bool = False
    edited: bool = False
    asked_host: bool = False
    broken: bool = False
    opened: object = None
    stream: object = None
    iterating: bool = False
    chunks: list[object] = field(default_factory=list[object])
    items: list[str] = field(default_factory=list[str])


class Calls:
    """The calls of one proxy process, found by the id in their metadata.

    Args:
        finish: ends a flight; may be called for one that has ended.
    """

    def __init__(self, finish: Callable[[Flight, Ending], None]) -> None:
        self._finish = finish
        self._calls: dict[str, Call] = {}

    def add(self, call: Call) -> None:
        """Take a call in."""
        self._calls[call.flight.request.id] = call

    def of(self, data: Mapping[str, Any]) -> Call | None:
        """Return the call that request data belongs to, None for one that passes through."""
        for name in METADATA:
            metadata = metadata_of(data, name)
            found = metadata.get(FLIGHT_ID) if metadata is not None else None
            if isinstance(found, str):
                return self._calls.get(found)
        return None

    def named(self, flight_id: str) -> Call | None:
        """Return the call with this flight id."""
        return self._calls.get(flight_id)

    def forget_soon(self, flight: Flight) -> None:
        """Drop an ended flight's call a while from now."""
        asyncio.get_running_loop().call_later(LINGER_S, self._calls.pop, flight.request.id, None)

    def watch(self, call: Call) -> None:
        """An attempt begins: see how the task that makes it ends, the one thing that always happens."""
        call.attempts += 1
        task = asyncio.current_task()
        if task is not None and id(task) not in call.tasks:
            call.tasks.add(id(task))
            task.add_done_callback(lambda done: self._done(call, done))

    def _done(self, call: Call, task: asyncio.Task[Any]) -> None:
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
            loop.call_later(RETRY_S, self._give_up, call, call.attempts)
        elif flight.request.stream:
            call.opened = task.result()
            loop.call_later(STREAM_START_S, self._unread, call)
        else:
            self._finish(flight, Ending.COMPLETE)

    def _give_up(self, call: Call, attempt: int) -> None:
        if call.attempts == attempt:
            self._finish(call.flight, Ending.FAILED)

    def _unread(self, call: Call) -> None:
        if not call.iterating:
            self._finish(call.flight, Ending.ABANDONED)
