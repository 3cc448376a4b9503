"""The batch form of `Pipeline.handle`: many requests, as few computations as they need, each answered in its place.

Members are looked up in their order, one after another, so that each finds all before it, kept or in flight: equal and
equivalent ones collapse through the same lookup and the same twins as any other traffic. What is left is computed
in parallel. A member that waits for another's answer takes no place of those that compute.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from . import semconv
from .analysis.stream import Savings
from .batch_checks import Care, RefusedAnswerError, is_failure
from .batch_parts import share
from .batch_report import Batch, Tally, shown
from .errors import ShedError
from .pipeline import Reply
from .records import Answer, Ending, Miss, Request
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from opentelemetry.context import Context

    from .flight import Flight
    from .pipeline import Pipeline
    from .protocols import Engine

MAX_PARALLEL: Final = 16
WINDOW: Final = 8
"""Members on their way for each that may be computed: those that wait for others take no place, but memory."""
LEAST_WINDOW: Final = 128
SETTLED_WITHIN_S: Final = 10.0
"""How long the report waits until the last answers are kept."""
MOST_LINKS: Final = 128
"""Links that a span holds by default; more members than that are not linked."""
PRIORITY_HINT: Final = "header.x-forebay-priority"
NO_CARE: Final = Care()

Expect: TypeAlias = Callable[[Sequence[Request]], Awaitable[Savings]]
"""Says what a batch will save, before it is run."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a batch that is done.

    Attributes:
        index: its place among the members.
        outcome: its reply, or what it failed with.
        answer: the reply's, None where it failed.
        tokens_saved: of an answer that was not computed.
        warning: label of what an answer check found about an answer that was taken all the same, "" for nothing.
    """

    index: int
    request: Request
    outcome: Reply | Exception
    answer: Answer | None = None
    tokens_saved: int = 0
    warning: str = ""


async def handle_many(
    pipeline: Pipeline,
    requests: Sequence[Request],
    engine: Engine,
    *,
    max_parallel: int = MAX_PARALLEL,
    parent: Context | None = None,
    expect: Expect | None = None,
    care: Care = NO_CARE,
) -> Batch:
    """Answer a batch. A member that fails, or is shed, fails alone; being cancelled cancels all that are not answered.

    Args:
        requests: with ids of their own. Answers are whole, also of those that asked for a stream.
        max_parallel: how many are computed at once; the pipeline's own limit holds, too. Of more than 32 of one scope that are computed
            at once, some equivalent ones do not find each other.
        expect: asked first; its failure costs the expectation, nothing else.
        care: how answers are checked, and how often they are asked for again.

    Raises:
        ValueError: two members have the same id, or `max_parallel` is below 1.
    """
    repeated = [name for name, times in Counter(request.id for request in requests).items() if times > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} ids are used by several members; give each request an id of its own")
    run = BatchRun(pipeline, engine, max_parallel=max_parallel, parent=parent, care=care)
    replies: dict[int, Reply | Exception] = {}
    run.tally.expected = await _expected(pipeline, requests, expect)
    async with aclosing(run.members(requests)) as members:
        async for member in members:
            replies[member.index] = member.outcome
    return Batch([replies[index] for index in range(len(requests))], run.tally.report())


async def _expected(pipeline: Pipeline, requests: Sequence[Request], expect: Expect | None) -> Savings | None:
    if expect is None:
        return None
    try:
        return await expect(requests)
    except Exception as error:  # fail open
        pipeline.telemetry.dependency_error("expect", type(error).__name__)
        return None


class BatchRun:
    """One batch on its way: members come from an iterator and go as they are done, so that few of them are in memory.

    Args:
        max_parallel: as in `handle_many`.

    Attributes:
        tally: what became of the members so far.

    Raises:
        ValueError: `max_parallel` is below 1.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        engine: Engine,
        *,
        max_parallel: int = MAX_PARALLEL,
        parent: Context | None = None,
        care: Care = NO_CARE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if max_parallel < 1:
            raise ValueError("max_parallel must be at least 1")
        self._pipeline = pipeline
        self._engine = engine
        self._parent = parent
        self._care = care
        self._window = max(LEAST_WINDOW, WINDOW * max_parallel)
        self._span = pipeline.telemetry.root(parent, {}, semconv.SPAN_BATCH)
        self._places = asyncio.Semaphore(max_parallel)
        self._looking = asyncio.Lock()
        self._flying: dict[str, Flight] = {}
        self._led: set[str] = set()
        self._links = 0
        self.tally = Tally(clock)

    async def members(self, requests: Iterable[Request]) -> AsyncGenerator[Member]:
        """Yield the members as they are done, in no order. Called once; closing it cancels those that are not done.

        Args:
            requests: with ids of their own; asked for the next one when there is room.
        """
        source = enumerate(requests)
        done: asyncio.Queue[Member] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()

        async def answer(index: int, request: Request) -> None:
            done.put_nowait(await self._member(index, request))

        failure: str | None = "GeneratorExit"
        try:
            waiting, on_their_way = True, 0  # a task is in the set for a moment longer than its member is on its way
            while waiting or on_their_way:
                while waiting and on_their_way < self._window:
                    place = next(source, None)
                    waiting = place is not None
                    if place is not None:
                        on_their_way += 1
                        # places and the lock are given in the order they are asked for: that of the members
                        task = asyncio.create_task(answer(*place))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                if on_their_way:
                    member = await done.get()
                    on_their_way -= 1
                    self.tally.add(member.outcome, member.warning)
                    self._settle()
                    yield member
            await self._settled()
            annotate(self._span, shown(self.tally.report()))
            failure = None
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            left = list(tasks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            for flight in self._flying.values():
                self._pipeline.finish(flight, Ending.CANCELLED)  # of those that have not ended
            end_span(self._span, error=failure)

    async def _member(self, index: int, request: Request) -> Member:
        turn = _Turn(self._places)
        for attempt in count():
            named = request if attempt == 0 else replace(request, id=f"{request.id}.{attempt + 1}")
            try:
                return await self._attempt(index, named, turn)
            except RefusedAnswerError as error:
                if error.answer is not turn.refused:
                    return Member(index, request, error)
                request = replace(request, controls=replace(request.controls, no_cache=True))  # a kept one, refused
            except ShedError as error:
                if not self._care.tries_again(error, attempt):
                    return Member(index, request, error)
                self.tally.retries += 1
                await asyncio.sleep(error.retry_after_s)
            except Exception as error:  # this member's alone
                return Member(index, request, error)
            finally:
                turn.leave()
        raise AssertionError

    async def _attempt(self, index: int, request: Request, turn: _Turn) -> Member:
        # only with a place: a flight has a deadline, and what is looked up late finds what was kept meanwhile
        await turn.take()
        flight: Flight | None = None
        try:
            async with self._looking:
                flight = self._begin(request)
                self._pipeline.analyze(flight)
                await self._pipeline.lookup(flight)
            # nothing is awaited until it leads its key: the next member must find it
            if flight.hit is not None or self._follows(flight):
                turn.leave()
            elif flight.key is not None:
                self._led.add(flight.key.exact)
            hit = await self._pipeline.admit(flight)
            if hit is None and not turn.held:  # whom it waited for brought nothing
                flight.release()
                await turn.take()
                hit = await self._pipeline.admit(flight)
            if hit is None:
                answer, label = await self._computed(flight)
            else:
                answer = hit.entry.answer
                label = self._care.label(request, answer)
                turn.refused = answer
            if is_failure(label):
                raise RefusedAnswerError(label, answer)
            self._pipeline.finish(flight, Ending.COMPLETE)
            saved = 0 if hit is None else answer.input_tokens + answer.output_tokens
            reply = Reply(flight.request.id, flight.status, body=answer.body)
            return Member(index, request, reply, answer, saved, label)
        except Exception:
            if flight is not None:
                self._pipeline.finish(flight, Ending.FAILED)
            raise
        finally:
            if turn.held and flight is not None and flight.key is not None:
                self._led.discard(flight.key.exact)

    def _follows(self, flight: Flight) -> bool:
        """Return whether somebody computes what this member could take, as far as can be seen."""
        if flight.follows is not None or (flight.key is not None and flight.key.exact in self._led):
            return True
        return isinstance(flight.lookup, Miss) and flight.lookup.reason == "inflight"

    def _begin(self, request: Request) -> Flight:
        hints = {PRIORITY_HINT: "batch", **request.hints}
        flight = self._pipeline.begin(replace(request, stream=False, hints=hints), self._parent)
        self._flying[flight.request.id] = flight
        if self._links < MOST_LINKS:
            self._links += 1
            self._span.add_link(flight.span.get_span_context())
        return flight

    async def _computed(self, flight: Flight) -> tuple[Answer, str]:
        """Return the engine's answer and what the checks say of it, after as many attempts as it may take.

        Raises:
            EngineError: the last attempt failed.
        """
        for attempt in count():
            try:
                answer = await self._engine.complete(flight.request, self._pipeline.enter(flight))
                label = self._care.label(flight.request, answer)
                if not self._care.asks_again(flight.request, label, attempt):
                    share(flight, answer)
                    flight.answered(answer)
                    return answer, label
            except Exception as error:
                if not self._care.tries_again(error, attempt):
                    raise
            self.tally.retries += 1
            flight.release()
            await asyncio.sleep(self._care.wait_s(attempt))
            await self._pipeline.admit(flight)
        raise AssertionError

    def _settle(self) -> None:
        """Take those into the tally that have settled."""
        for name in [name for name, flight in self._flying.items() if flight.settled.is_set()]:
            self.tally.settled(self._flying.pop(name))

    async def _settled(self) -> None:
        try:
            async with asyncio.timeout(SETTLED_WITHIN_S):
                await asyncio.gather(*(flight.settled.wait() for flight in self._flying.values()))
        except TimeoutError:
            pass
        finally:
            self._settle()


class _Turn:
    """A member's place among those that compute.

    Attributes:
        held: whether it has one.
        refused: a kept answer that it was given and may have to refuse.
    """

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self.held = False
        self.refused: Answer | None = None

    async def take(self) -> None:
        """Wait for a place."""
        await self._places.acquire()
        self.held = True

    def leave(self) -> None:
        """Give it back, where there is one."""
        if self.held:
            self.held = False
            self._places.release()
