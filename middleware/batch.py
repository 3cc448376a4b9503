"""The batch form of `Pipeline.handle`: many requests, as few computations as they need, each answered in its place.

Members are looked up in their order, one after another, so that each finds all before it, kept or in flight: equal and
equivalent ones collapse through the same lookup and the same twins as any other traffic. What is left is computed
in parallel. A member that waits for another's answer takes no place of those that compute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from . import semconv
from .analysis.stream import Savings
from .batch_report import Batch, report_of, shown
from .pipeline import Reply
from .records import Ending, Miss, Request
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from .flight import Flight
    from .pipeline import Pipeline
    from .protocols import Engine
    from .records import Answer

MAX_PARALLEL: Final = 16
SETTLED_WITHIN_S: Final = 10.0
"""How long the report waits until the last answers are kept."""

Expect: TypeAlias = Callable[[Sequence[Request]], Awaitable[Savings]]
"""Says what a batch will save, before it is run."""


async def handle_many(
    pipeline: Pipeline,
    requests: Sequence[Request],
    engine: Engine,
    *,
    max_parallel: int = MAX_PARALLEL,
    parent: Context | None = None,
    expect: Expect | None = None,
) -> Batch:
    """Answer a batch. A member that fails, or is shed, fails alone; being cancelled cancels all that are not answered.

    Args:
        requests: with ids of their own. Answers are whole, also of those that asked for a stream.
        max_parallel: how many are computed at once; the pipeline's own limit holds, too. Of more than 32 of one scope that are computed
            at once, some equivalent ones do not find each other.
        expect: asked first; its failure costs the expectation, nothing else.

    Raises:
        ValueError: two members have the same id, or `max_parallel` is below 1.
    """
    if max_parallel < 1:
        raise ValueError("max_parallel must be at least 1")
    repeated = [name for name, count in Counter(request.id for request in requests).items() if count > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} ids are used by several members; give each request an id of its own")
    span = pipeline.telemetry.root(parent, {}, semconv.SPAN_BATCH)
    try:
        expected = await _expected(pipeline, requests, expect)
        run = _Run(pipeline, engine, max_parallel, parent, span)
        replies = await run.all(requests)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN_S):
                await asyncio.gather(*(flight.settled.wait() for flight in run.flights))
        report = report_of(replies, run.flights, expected)
        annotate(span, shown(report))
    except BaseException as error:
        end_span(span, error=type(error).__name__)
        raise
    end_span(span)
    return Batch(replies, report)


async def _expected(pipeline: Pipeline, requests: Sequence[Request], expect: Expect | None) -> Savings | None:
    if expect is None:
        return None
    try:
        return await expect(requests)
    except Exception as error:  # fail open
        pipeline.telemetry.dependency_error("expect", type(error).__name__)
        return None


class _Run:
    """One batch on its way.

    Attributes:
        flights: of the members, as far as they have begun, in the order they were looked up.
    """

    def __init__(
        self, pipeline: Pipeline, engine: Engine, max_parallel: int, parent: Context | None, span: Span
    ) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._parent = parent
        self._span = span
        self._places = asyncio.Semaphore(max_parallel)
        self._looking = asyncio.Lock()
        self.flights: list[Flight] = []
        self._led: set[str] = set()

    async def all(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        """Return the replies in order."""
        try:
            async with asyncio.TaskGroup() as group:
                # places and the lock are given in the order they are asked for: that of the members
                tasks = [group.create_task(self._member(request)) for request in requests]
        finally:
            for flight in self.flights:
                self._pipeline.finish(flight, Ending.CANCELLED)  # of those that have not ended
        return [task.result() for task in tasks]

    async def _member(self, request: Request) -> Reply | Exception:
        # only with a place: a flight has a deadline, and what is looked up late finds what was kept meanwhile
        await self._places.acquire()
        placed = True
        flight: Flight | None = None
        try:
            async with self._looking:
                flight = self._begin(request)
                self._pipeline.analyze(flight)
                await self._pipeline.lookup(flight)
            # nothing is awaited until it leads its key: the next member must find it
            if flight.hit is not None or self._follows(flight):
                self._places.release()
                placed = False
            elif flight.key is not None:
                self._led.add(flight.key.exact)
            hit = await self._pipeline.admit(flight)
            if hit is None and not placed:  # whom it waited for brought nothing
                flight.release()
                await self._places.acquire()
                placed = True
                hit = await self._pipeline.admit(flight)
            answer = hit.entry.answer if hit is not None else await self._computed(flight)
            self._pipeline.finish(flight, Ending.COMPLETE)
            return Reply(request.id, flight.status, body=answer.body)
        except Exception as error:  # this member's alone
            if flight is not None:
                self._pipeline.finish(flight, Ending.FAILED)
            return error
        finally:
            if placed:
                self._places.release()
                if flight is not None and flight.key is not None:
                    self._led.discard(flight.key.exact)

    def _follows(self, flight: Flight) -> bool:
        """Return whether somebody computes what this member could take, as far as can be seen."""
        if flight.follows is not None or (flight.key is not None and flight.key.exact in self._led):
            return True
        return isinstance(flight.lookup, Miss) and flight.lookup.reason == "inflight"

    def _begin(self, request: Request) -> Flight:
        flight = self._pipeline.begin(replace(request, stream=False), self._parent)
        self.flights.append(flight)
        self._span.add_link(flight.span.get_span_context())
        return flight

    async def _computed(self, flight: Flight) -> Answer:
        headers = self._pipeline.enter(flight)
        answer = await self._engine.complete(flight.request, headers)
        flight.answered(answer)
        return answer
