"""What the queue's policies are told of real requests, and what they may do with them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.admission.tickets import Load, Refusal, Served, Ticket, Waiting
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.errors import EngineError, ShedError
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.asking import QUESTION, ask, read
from tests.middleware.parts import Given, settled, until

if TYPE_CHECKING:
    from forebay.middleware.runtime import Runtime


class Watching:
    """A limit that keeps what it was told."""

    def __init__(self, most: int = 100, *, breaks: bool = False) -> None:
        self.most = most
        self.breaks = breaks
        self.entered_with: list[Ticket] = []
        self.first: list[Ticket] = []
        self.served: list[Served] = []

    def admits(self, ticket: Ticket, load: Load) -> bool:
        return load.inflight < self.most

    def entered(self, ticket: Ticket, load: Load) -> None:
        self.entered_with.append(ticket)

    def first_token(self, ticket: Ticket, load: Load) -> None:
        self.first.append(ticket)
        self._break()

    def ended(self, served: Served, load: Load) -> None:
        self.served.append(served)
        self._break()

    def _break(self) -> None:
        if self.breaks:
            raise ZeroDivisionError


class Refusing:
    """Refuses one tenant, and lets nobody wait for long."""

    def refuse(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        return Refusal("tenant_quota", 503, 12.3) if ticket.tenant == "greedy" else None

    def gives_way(self, ticket: Ticket, waiting: Waiting) -> Priority | None:
        return None

    def patience_s(self, ticket: Ticket) -> float:
        return 0.02

    def late(self, ticket: Ticket, waiting: Waiting) -> Refusal:
        return Refusal("too_late", 429, 2.0)

    def entered(self, ticket: Ticket, load: Load) -> None:
        assert load.inflight


async def test_a_limit_learns_what_became_of_a_stream() -> None:
    limit = Watching()
    plugin = Given(limit=limit)
    async with started(plugin.settings, plugin) as runtime:
        reply = await runtime.pipeline.handle(chat(QUESTION, stream=True), ScriptedEngine(["one two three"]))
        await read(reply)
        await settled(runtime)
    (ticket,) = limit.entered_with
    assert (ticket.stream, ticket.priority, ticket.objective.ttft_s) == (True, Priority.INTERACTIVE, 2.0)
    assert ticket.input_tokens > 0
    assert limit.first == [ticket]
    (served,) = limit.served
    assert served.complete
    assert served.output_tokens > 0
    assert served.first_token_s is not None
    assert served.entered_s <= served.first_token_s <= served.ended_s


async def test_hits_and_twins_take_no_place_and_failures_are_told_as_such() -> None:
    limit = Watching()
    plugin = Given(limit=limit)
    async with started(plugin.settings, plugin) as runtime:
        await ask(runtime, QUESTION)
        await settled(runtime)
        await ask(runtime, QUESTION)
        with pytest.raises(EngineError):
            await runtime.pipeline.handle(chat("it fails"), ScriptedEngine([EngineError("no", status=500)]))
        await settled(runtime)
    assert [one.complete for one in limit.served] == [True, False]


async def test_a_limit_that_breaks_while_it_learns_costs_nobody_an_answer() -> None:
    limit = Watching(breaks=True)
    plugin = Given(limit=limit)
    async with started(plugin.settings, plugin) as runtime:
        for at in range(3):
            engine = ScriptedEngine(["one two"])
            await read(await runtime.pipeline.handle(chat(f"{QUESTION} {at}", stream=True), engine))
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == 0
        assert len(limit.served) == 3


async def test_a_shedding_policys_refusal_reaches_the_caller_with_its_status_and_time() -> None:
    plugin = Given(limit=Watching(0), shedding=Refusing())
    async with started(plugin.settings, plugin) as runtime:
        with pytest.raises(ShedError) as refused:
            await runtime.pipeline.handle(chat(QUESTION, tenant="greedy"), ScriptedEngine())
        assert (refused.value.reason, refused.value.status, refused.value.retry_after_s) == ("tenant_quota", 503, 13)
        with pytest.raises(ShedError) as late:
            await ask(runtime, QUESTION)
        assert (late.value.reason, late.value.retry_after_s) == ("too_late", 2)
        assert runtime.pipeline.gate.load.queued == 0
        assert runtime.telemetry.counts["forebay.requests.shed", "reason=too_late"] == 1


@pytest.mark.parametrize("policies", [{}, {"ordering": {"type": "composed"}}], ids=["fcfs", "composed"])
async def test_five_hundred_who_leave_at_any_moment_leave_no_place_taken(policies: dict[str, Any]) -> None:
    dice = random.Random(7)
    settings = {"limit": {"type": "fixed", "max_inflight": 4}, "cache": {"semantic": "off"}, **policies}
    async with started(settings) as runtime:
        engine = Slow()

        async def leaver(at: int) -> None:
            request = chat(f"{QUESTION} {at}", stream=dice.random() < 0.5, tenant=f"t{at % 7}")
            task = asyncio.create_task(_whole(runtime, request, engine))
            for _ in range(dice.randrange(40)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(leaver(at) for at in range(500)))
        await until(lambda: runtime.pipeline.inflight == 0)
        load = runtime.pipeline.gate.load
        assert (load.inflight, load.queued, load.inflight_tokens, load.reserved_tokens) == (0, 0, 0, 0.0)
        await ask(runtime, "one more")


async def test_how_full_the_engine_is_can_be_read_by_lane() -> None:
    gate = asyncio.Event()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(3)]
        await until(lambda: runtime.pipeline.gate.load.queued == 2)
        readings = {name: value for name, lane, value in runtime.pipeline.gate.readings() if not lane}
        assert readings["forebay.queue.requests"] == 2
        assert readings["forebay.engine.requests"] == readings["forebay.engine.places"] == 1
        assert readings["forebay.engine.tokens"] > 0
        gate.set()
        await asyncio.gather(*tasks)
        await settled(runtime)
        after = {name: value for name, lane, value in runtime.pipeline.gate.readings() if not lane}
        assert after["forebay.engine.requests"] == 0
        assert after["forebay.engine.starved"] < 0.05  # the loop was on its way to the next one
        assert after["forebay.engine.busy"] > 0


class Slow(ScriptedEngine):
    """Takes a few turns of the loop for each answer."""

    async def complete(self, request: Any, headers: Any) -> Any:
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().complete(request, headers)


async def _whole(runtime: Runtime, request: Any, engine: ScriptedEngine) -> None:
    reply = await runtime.pipeline.handle(request, engine)
    if reply.chunks is not None:
        await read(reply)
