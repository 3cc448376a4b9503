"""The prompts of one offline call on their way through the stops.

As in `handle_many`, members are looked up one after another, so that each finds all before it, and one that waits
for another's answer takes no place of those that compute. What they bring is vLLM's own outputs: a member that equals one
in flight reads that one's output, also where it is nothing that could be kept.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...middleware import semconv
from ...middleware.batch import MOST_LINKS, SETTLED_WITHIN_S
from ...middleware.batch_report import Tally, shown
from ...middleware.pipeline import Reply
from ...middleware.records import CacheStatus, Ending
from ...middleware.telemetry import annotate, end_span
from .outputs import replay
from .source import GenerateSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ...middleware.flight import Flight
    from ...middleware.runtime import Runtime
    from .asked import About
    from .members import Member
    from .names import Names
    from .stepping import Stepping

log = logging.getLogger(__name__)
AHEAD: Final = 2
"""Members on their way to the engine for each that it runs: so many wait inside it that it never waits for us."""


class Group:
    """Answers the members of one call. Belongs to one event loop.

    Args:
        weights: version of the engine's.
        places: how many members may be on their way to the engine, or in it.
        done: called with each output.

    Attributes:
        tally: what became of the members so far.
    """

    def __init__(
        self,
        runtime: Runtime,
        names: Names,
        about: About,
        stepping: Stepping,
        *,
        weights: str,
        places: int,
        done: Callable[[Any], None],
    ) -> None:
        self._runtime = runtime
        self._names = names
        self._about = about
        self._weights = weights
        self._stepping = stepping
        self._done = done
        self._places = asyncio.Semaphore(places)
        self._looking = asyncio.Lock()
        self._flights: set[Flight] = set()
        self._links = 0
        self._span = runtime.telemetry.root(None, {}, semconv.SPAN_BATCH)
        self.tally = Tally(monotonic)

    async def answers(self, members: Sequence[Member]) -> Sequence[Any]:
        """Return one output for each member, in their order. Being cancelled cancels all that are not answered."""
        failure: str | None = "CancelledError"
        tasks: dict[int, asyncio.Task[Any]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                # places are given in the order they are asked for
                for at in sorted(range(len(members)), key=lambda at: members[at].rank):
                    tasks[at] = group.create_task(self._answer(members[at]))
            await self._settled()
            failure = None
        finally:
            annotate(self._span, shown(self.tally.report()))
            end_span(self._span, error=failure)
        return [tasks[at].result() for at in range(len(members))]

    async def _answer(self, member: Member) -> Any:
        place = _Place(self._places)
        await place.take()
        status = CacheStatus.MISS
        try:
            flight = await self._looked_up(member, place)
            output = await self._brought(member, flight, place)
            status = flight.status
        except Exception as error:  # the engine's failures go to the caller directly, so this is forebay's: past it
            self._runtime.telemetry.dependency_error("vllm", type(error).__name__)
            log.debug("a prompt goes by", exc_info=True)
            output = await self._stepping.output(member.add)
        finally:
            place.leave()
        output.request_id = member.number
        self.tally.add(Reply(member.asked.request_id, status), "")
        self._settle()
        self._stepping.post(lambda: self._done(output))
        return output

    async def _looked_up(self, member: Member, place: _Place) -> Flight:
        pipeline = self._runtime.pipeline
        try:
            name = member.asked.request_id
            request = member.asked.request(self._about, name, weights=self._weights, stream=False)
        except Exception as error:  # what cannot be read is not kept, but takes its turn like the others
            self._runtime.telemetry.dependency_error("vllm", type(error).__name__)
            request = member.asked.unkept(self._about, member.asked.request_id)
        async with self._looking:
            flight = pipeline.begin(request)
            self._flights.add(flight)
            if self._links < MOST_LINKS:
                self._links += 1
                self._span.add_link(flight.span.get_span_context())
            try:
                pipeline.analyze(flight)
                await pipeline.lookup(flight)
            except BaseException as error:
                self._failed(flight, error)
                raise
        if flight.hit is not None or flight.follows is not None:
            place.leave()
        return flight

    async def _brought(self, member: Member, flight: Flight, place: _Place) -> Any:
        """Return the output that answers a member: a kept one, one that is computed for another, or its own."""
        pipeline, asked = self._runtime.pipeline, member.asked
        output, shared = None, False
        try:
            source = GenerateSource(self._names, lambda headers: self._computed(member, headers), asked.params)
            hit = await pipeline.admit(flight, form=source.form)
            if hit is not None:
                (output,) = replay(
                    self._names,
                    hit.entry.answer,
                    asked.params.output_kind,
                    request_id=member.number,
                    prompt=asked.text(),
                    prompt_token_ids=list(flight.request.token_ids),
                    lora_request=asked.given.get("lora_request"),
                )
                pipeline.finish(flight, Ending.COMPLETE)
                return output
            shared = flight.live is not None
            if shared:
                place.leave()
            async with aclosing(pipeline.run(flight, source)) as outputs:
                async for one in outputs:
                    output = one
        except BaseException as error:
            self._failed(flight, error)
            if output is None or not isinstance(error, Exception):
                raise
        return self._own(member, output) if shared else output

    async def _computed(self, member: Member, headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:  # noqa: ARG002
        yield await self._stepping.output(member.add)

    @staticmethod
    def _own(member: Member, output: Any) -> Any:
        """Return another member's output as this one's own."""
        own = copy.deepcopy(output)
        own.prompt = member.asked.text()
        own.lora_request = member.asked.given.get("lora_request")
        return own

    def _failed(self, flight: Flight, error: BaseException) -> None:
        self._runtime.pipeline.finish(flight, Ending.FAILED if isinstance(error, Exception) else Ending.CANCELLED)

    def _settle(self) -> None:
        """Take those into the tally that have settled."""
        for flight in [flight for flight in self._flights if flight.settled.is_set()]:
            self._flights.discard(flight)
            self.tally.settled(flight)

    async def _settled(self) -> None:
        """Wait until the last answers are kept: the caller may ask for them next, or end the process."""
        try:
            async with asyncio.timeout(SETTLED_WITHIN_S):
                await asyncio.gather(*(flight.settled.wait() for flight in self._flights))
        except TimeoutError:
            pass
        finally:
            self._settle()


class _Place:
    """A member's place among those that are on their way to the engine."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        """Wait for a place."""
        await self._places.acquire()
        self._held = True

    def leave(self) -> None:
        """Give it back, where there is one."""
        if self._held:
            self._held = False
            self._places.release()
