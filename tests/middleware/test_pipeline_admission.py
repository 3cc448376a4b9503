"""Twins in flight, the queue and the limit, through the pipeline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.flight import Flight
from forebay.middleware.records import Controls, Ending
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import QUESTION, ask, read, stored, text_in, text_of
from tests.middleware.parts import AtMost, Given, Spy, followers_of, settled, until

if TYPE_CHECKING:
    from forebay.middleware.pipeline import Reply
    from forebay.middleware.runtime import Runtime


async def together(runtime: Runtime, engine: ScriptedEngine, many: int, **params: Any) -> list[asyncio.Task[Reply]]:
    """Start equal requests and wait until one computes and the others follow it."""
    tasks = [
        asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, **params), engine), name=f"r{at}")
        for at in range(many)
    ]
    await until(lambda: engine.running == 1 and len(followers_of(runtime)) == many - 1)
    return tasks


async def test_equal_requests_in_flight_share_one_computation() -> None:
    gate = asyncio.Event()
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 20)
        assert runtime.pipeline.gate.load.queued == 0
        gate.set()
        replies = await asyncio.gather(*tasks)
        await settled(runtime)
        assert len(engine.calls) == 1
        assert len({id(reply) for reply in replies}) == 20
        assert all(reply.body == replies[0].body for reply in replies)
        assert sorted(reply.status for reply in replies) == ["inflight"] * 19 + ["miss"]
        assert await stored(runtime) == 1
        assert runtime.pipeline.inflight == 0
    assert len(spy.finished) == 20


async def test_a_stream_follows_a_whole_request() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(["one two"], gate=gate)
        (leader,) = await together(runtime, engine, 1)
        follower = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, stream=True), engine))
        await until(lambda: followers_of(runtime))
        gate.set()
        assert text_in(await read(await follower)) == text_of(await leader) == "one two"
        assert len(engine.calls) == 1


async def test_a_leader_whose_caller_left_hands_over() -> None:
    gate = asyncio.Event()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 5)
        leader = next(task for task in tasks if task.get_name() == "r0")
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await until(lambda: len(engine.calls) == 2)
        gate.set()
        replies = await asyncio.gather(*tasks[1:])
        assert len(engine.calls) == 2
        assert sorted(reply.status for reply in replies) == ["inflight"] * 3 + ["miss"]
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == 0


async def test_a_leader_that_fails_lets_the_others_run_on_their_own() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine([EngineError("down"), "ok"], gate=gate)
        tasks = await together(runtime, engine, 4)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        assert [type(error) for error in errors] == [EngineError]
        assert len(engine.calls) == 4
        assert {text_of(result) for result in results if not isinstance(result, BaseException)} == {"ok"}


async def test_an_answer_that_may_not_be_kept_is_not_shared() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine([completion("cut", finish_reason="length"), "whole"], gate=gate)
        tasks = await together(runtime, engine, 3)
        gate.set()
        replies = await asyncio.gather(*tasks)
        assert sorted(text_of(reply) for reply in replies) == ["cut", "whole", "whole"]


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 3)
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        gate.set()
        assert [(await tasks[at]).status for at in (0, 2)] == ["miss", "inflight"]
        await settled(runtime)
        assert runtime.pipeline.inflight == 0


@pytest.mark.parametrize(
    "settings", [{"cache": {"twins": False}}, {"cache": {"exact": "shadow"}}, {"mode": "shadow"}, {"mode": "off"}]
)
async def test_where_hits_are_not_served_nobody_waits_for_a_twin(settings: dict[str, Any]) -> None:
    gate = asyncio.Event()
    async with started(settings) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine)) for _ in range(3)]
        await until(lambda: engine.running == 3)
        gate.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("controls", [Controls(no_cache=True), Controls(no_store=True), Controls(bypass=True)])
async def test_who_wants_an_answer_of_his_own_gets_one(controls: Controls) -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(gate=gate)
        (leader,) = await together(runtime, engine, 1)
        other = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, controls=controls), engine))
        await until(lambda: engine.running == 2)
        gate.set()
        await asyncio.gather(leader, other)


async def test_a_follower_does_not_wait_for_ever() -> None:
    gate = asyncio.Event()
    async with started({"cache": {"twin_wait_s": 0.02}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        (leader,) = await together(runtime, engine, 1)
        follower = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine))
        await until(lambda: engine.running == 2)
        gate.set()
        assert [(await task).status for task in (leader, follower)] == ["miss", "miss"]


async def test_the_limit_holds() -> None:
    gate = asyncio.Event()
    async with started({"limit": {"type": "fixed", "max_inflight": 3}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(12)]
        await until(lambda: runtime.pipeline.gate.load.queued == 9)
        gate.set()
        await asyncio.gather(*tasks)
        await settled(runtime)
        assert engine.most_running == 3
        assert runtime.pipeline.gate.load.inflight == 0


async def test_a_full_queue_sheds_and_a_hit_is_served_all_the_same() -> None:
    gate = asyncio.Event()
    spy = Spy()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 1}}
    async with started(settings, spy) as runtime:
        await ask(runtime, QUESTION)
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(2)]
        await until(lambda: runtime.pipeline.gate.load.queued == 1)
        with pytest.raises(ShedError) as raised:
            await runtime.pipeline.handle(chat("one too many"), engine)
        assert (raised.value.status, raised.value.reason) == (429, "queue_full")
        assert (await runtime.pipeline.handle(chat(QUESTION), engine)).status == "exact"
        gate.set()
        await asyncio.gather(*tasks)
        await settled(runtime)
        assert runtime.telemetry.counts["forebay.requests.shed", "reason=queue_full"] == 1
    shed = next(finished for finished in spy.finished if finished.status == "shed")
    assert shed.decisions[-2].reason == "queue_full"
    assert shed.ending is Ending.FAILED


async def test_who_could_not_even_wait_is_refused_right_after_the_lookup() -> None:
    gate = asyncio.Event()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with started(settings) as runtime:
        pipeline = runtime.pipeline
        engine = ScriptedEngine(gate=gate)
        running = asyncio.create_task(pipeline.handle(chat(QUESTION), engine))
        await until(lambda: engine.running)

        async def looked_up(text: str, **params: Any) -> Flight:
            flight = pipeline.begin(chat(text, **params))
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
            return flight

        other = await looked_up("another")
        with pytest.raises(ShedError):
            pipeline.check_room(other)
        assert other.status == "shed"
        twin = await looked_up(QUESTION)
        pipeline.check_room(twin)  # it will follow, and needs no place
        passing = await looked_up("another", controls=Controls(bypass=True))
        pipeline.check_room(passing)
        for flight in (other, twin, passing):
            pipeline.finish(flight, Ending.FAILED)
        gate.set()
        await running


async def test_a_wait_that_takes_too_long_sheds() -> None:
    plugin = Given(limit=AtMost(0))
    async with started({**plugin.settings, "admission": {"queue_timeout_s": 0.01}}, plugin) as runtime:
        with pytest.raises(ShedError) as raised:
            await ask(runtime, QUESTION)
        assert raised.value.reason == "queue_timeout"
        assert runtime.pipeline.gate.load.queued == 0


async def test_who_leaves_while_waiting_is_forgotten() -> None:
    spy = Spy()
    plugin = Given(limit=AtMost(0))
    async with started(plugin.settings, plugin, spy) as runtime:
        task = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), ScriptedEngine()))
        await until(lambda: runtime.pipeline.gate.load.queued == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(runtime)
        assert runtime.pipeline.gate.load.queued == 0
        assert runtime.pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.CANCELLED]
