"""How flights end: late, twice, never."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.modes import KILL_FILE
from forebay.middleware.records import Ending, Entry, Mode
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.asking import QUESTION, ask, stored, text_of
from tests.middleware.parts import Given, Spy, followers_of, settled, until


async def test_a_flight_that_nobody_closes_is_closed_by_its_deadline() -> None:
    spy = Spy()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "litellm": {"flight_deadline_s": 0.01}}
    async with started(settings, spy) as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        pipeline.enter(flight)
        assert pipeline.gate.load.inflight == 1
        await until(lambda: flight.settled.is_set())
        assert flight.ending is Ending.ABANDONED
        assert pipeline.gate.load.inflight == 0
        pipeline.finish(flight, Ending.COMPLETE)  # too late
        await settled(runtime)
        assert await stored(runtime) == 0
        assert pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.ABANDONED]


async def test_a_twin_takes_over_from_a_flight_that_was_abandoned() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        follower = asyncio.create_task(pipeline.handle(chat(QUESTION), ScriptedEngine(["by the twin"])))
        await until(lambda: followers_of(runtime))
        pipeline.finish(flight, Ending.ABANDONED)
        assert text_of(await follower) == "by the twin"


async def test_a_callers_deadline_is_the_flights() -> None:
    async with started() as runtime:
        flight = runtime.pipeline.begin(replace(chat(QUESTION), deadline_s=0.01))
        await until(lambda: flight.ending)
        assert flight.ending is Ending.ABANDONED


async def test_the_stops_may_be_called_again() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        assert pipeline.analyze(flight) is pipeline.analyze(flight)
        assert await pipeline.lookup(flight) is await pipeline.lookup(flight)
        for _ in range(3):  # attempts
            assert await pipeline.admit(flight) is None
            pipeline.enter(flight)
        assert pipeline.gate.load.inflight == 1
        for ending in (Ending.COMPLETE, Ending.FAILED):
            pipeline.finish(flight, ending)
        await settled(runtime)
        assert pipeline.gate.load.inflight == 0
        assert flight.ending is Ending.COMPLETE
        assert [decision.stop for decision in flight.decisions].count("analyze") == 1


async def test_an_answer_may_come_a_moment_after_the_end() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        pipeline.finish(flight, Ending.COMPLETE)
        await asyncio.sleep(0)
        assert flight.answered(await ScriptedEngine(["late"]).complete(flight.request, {}))
        await settled(runtime)
        assert text_of(await ask(runtime, QUESTION)) == "late"


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.ABANDONED])
async def test_an_answer_that_came_before_a_bad_end_is_not_kept(ending: Ending) -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        assert flight.answered(await ScriptedEngine(["whole"]).complete(flight.request, {}))
        pipeline.finish(flight, ending)
        await settled(runtime)
        assert await stored(runtime) == 0


async def test_an_edited_request_keeps_nothing() -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        flight.withdrawn("edited")
        assert await pipeline.admit(flight) is None
        flight.answered(await ScriptedEngine(["edited"]).complete(flight.request, {}))
        pipeline.finish(flight, Ending.COMPLETE)
        await settled(runtime)
        assert text_of(await ask(runtime, QUESTION)) == "old"


class SlowStore(MemoryStore):
    """Writes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.resume = asyncio.Event()
        self.writing = False

    async def put(self, entry: Entry) -> None:
        self.writing = True
        await self.resume.wait()
        await super().put(entry)


async def test_nobody_waits_for_the_keeping_and_draining_does() -> None:
    store = SlowStore()
    plugin = Given(store=store)
    async with started(plugin.settings, plugin) as runtime:
        reply = await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine(["fresh"]))
        assert text_of(reply) == "fresh"
        await until(lambda: store.writing)
        drain = asyncio.create_task(runtime.pipeline.drain(10.0))
        await asyncio.sleep(0)
        assert not drain.done()
        store.resume.set()
        await drain
        assert await stored(runtime) == 1


async def test_draining_gives_up_after_its_time() -> None:
    store = SlowStore()
    plugin = Given(store=store)
    async with started(plugin.settings, plugin) as runtime:
        before = asyncio.all_tasks()
        await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine())
        await until(lambda: store.writing)
        await runtime.pipeline.drain(0.01)
        assert asyncio.all_tasks() == before
        assert await stored(runtime) == 0


async def test_a_mode_is_fixed_when_a_flight_begins() -> None:
    async with started() as runtime:
        flight = runtime.pipeline.begin(chat(QUESTION))
        (runtime.state_dir / KILL_FILE).touch()
        assert flight.mode is Mode.SERVE
        runtime.pipeline.finish(flight, Ending.FAILED)
