"""A queue and a limit for each deployment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.admission import lanes as module
from forebay.middleware.admission.lanes import OTHERS, Lanes, Policies
from forebay.middleware.admission.tickets import Load
from forebay.middleware.coordination import Roster, Worker
from forebay.middleware.errors import PluginError, ShedError
from forebay.middleware.records import Ending
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.none import NoLimit
from forebay.policies.ordering.fcfs import FCFS
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.parts import AtMost, Given, counted, ticket, until

if TYPE_CHECKING:
    pass

LOTS = 60.0


def make(most: int = 1) -> Policies:
    return Policies(FCFS(), FixedLimit(max_inflight=most))


def roster(workers: int, rank: int = 0, *, shared: bool = False) -> Roster:
    return Roster(tuple(Worker(f"w{at}", at) for at in range(workers)), rank, shareable=shared, shared=shared)


async def test_deployments_do_not_wait_for_each_other() -> None:
    lanes = Lanes(make, max_queue=10)
    for lane in ("", "a", "b"):
        await lanes.of(lane).acquire(ticket("x"), LOTS)
    assert counted(lanes.load) == Load(inflight=3, queued=0)
    assert lanes.of("a").would_wait(ticket("y"))
    assert len(lanes) == 3


async def test_room_is_each_deployments_own() -> None:
    lanes = Lanes(make, max_queue=0)
    assert lanes.has_room("a")
    assert len(lanes) == 1  # asking makes nothing
    lease = await lanes.of("a").acquire(ticket("x"), LOTS)
    assert not lanes.has_room("a")
    assert lanes.has_room("b")
    lease.release()
    assert lanes.has_room("a")


async def test_idle_lanes_make_room_and_busy_ones_are_kept() -> None:
    lanes = Lanes(make, max_queue=10, most=3)
    busy = await lanes.of("busy").acquire(ticket("x"), LOTS)
    gate = lanes.of("busy")
    for at in range(20):
        lanes.of(f"passing {at}")
        assert len(lanes) <= 3
    assert lanes.of("busy") is gate
    also = await lanes.of("also busy").acquire(ticket("y"), LOTS)
    third = await lanes.of("one more").acquire(ticket("z"), LOTS)
    assert lanes.of("and another") is lanes.of(OTHERS)
    assert lanes.of("and another").load.inflight == 1
    for lease in (busy, also, third):
        lease.release()
    assert lanes.of("one more") is not lanes.of(OTHERS)
    assert len(lanes) <= 3


@pytest.mark.parametrize(
    ("places", "workers", "parts"),
    [(16, 4, [4, 4, 4, 4]), (10, 4, [3, 3, 2, 2]), (2, 4, [1, 1, 1, 1]), (5, 1, [5]), (3, 0, [3])],
)
def test_a_workers_part(places: int, workers: int, parts: list[int]) -> None:
    assert [roster(workers, rank).part_of(places) for rank in range(max(1, workers))] == parts


async def test_a_limit_is_divided_and_undivided_as_workers_come_and_go() -> None:
    lanes = Lanes(lambda: make(4), max_queue=10)
    gate = lanes.of("a")
    lanes.changed(roster(2))
    tasks = [asyncio.create_task(gate.acquire(ticket(f"t{at}"), LOTS)) for at in range(6)]
    await until(lambda: counted(gate.load) == Load(inflight=2, queued=4))
    lanes.changed(roster(3, 0))  # two are inside and stay
    assert counted(gate.load) == Load(inflight=2, queued=4)
    lanes.changed(roster(1))  # the others are gone: who waits goes in at once
    await until(lambda: counted(gate.load) == Load(inflight=4, queued=2))
    for task in tasks[:4]:
        (await task).release()
    for task in tasks[4:]:
        (await task).release()
    lanes.close()


async def test_a_limit_that_is_no_number_is_each_workers_own() -> None:
    lanes = Lanes(lambda: Policies(FCFS(), NoLimit()), max_queue=0)
    lanes.changed(roster(8))
    for at in range(20):
        await lanes.of("").acquire(ticket(f"t{at}"), LOTS)
    assert lanes.load.inflight == 20
    lanes.close()


async def test_how_the_limit_holds_is_logged_once_it_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SAY_AFTER_S", 0.01)
    lanes = Lanes(lambda: make(10), max_queue=0)
    with caplog.at_level(logging.WARNING):
        for workers in (1, 2, 3, 4):
            lanes.changed(roster(workers, workers - 1))
        await until(lambda: caplog.messages)
        lanes.changed(roster(4, 3))
        await asyncio.sleep(0.05)
        assert caplog.messages == ["4 workers divide a limit of 10: this one lets 2 in"]
        lanes.changed(roster(4, shared=True))
        await until(lambda: len(caplog.messages) == 2)
        lanes.changed(roster(1))
        await until(lambda: len(caplog.messages) == 3)
    assert caplog.messages[1:] == [
        "4 workers share a limit of 10",
        "this worker is alone and has the whole limit of 10",
    ]


async def test_one_worker_says_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "SAY_AFTER_S", 0.0)
    lanes = Lanes(make, max_queue=0)
    lanes.changed(roster(1))
    await asyncio.sleep(0.02)
    assert caplog.messages == []


async def test_lanes_through_the_pipeline() -> None:
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with started(settings) as runtime:
        pipeline = runtime.pipeline
        first, second, third = (pipeline.begin(chat(f"q{at}")) for at in range(3))
        for flight in (first, second, third):
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
        assert await pipeline.admit(first, "east") is None
        assert first.lane == "east"
        assert not pipeline.has_room("east")
        assert pipeline.has_room("west")
        pipeline.check_room(second)  # several are known, and not yet which one it will be
        pipeline.check_room(second, ["east", "west"])
        with pytest.raises(ShedError):
            pipeline.check_room(third, ["east"])
        assert await pipeline.admit(second, "west") is None
        with pytest.raises(ShedError):
            pipeline.check_room(third, ["east", "west"])
        first.release()
        assert pipeline.has_room("east")
        for flight in (first, second, third):
            pipeline.finish(flight, Ending.FAILED)
        assert pipeline.gate.load.inflight == 0


async def test_a_limit_that_raises_leaves_every_deployment_in_the_choice() -> None:
    class Odd(AtMost):
        def admits(self, ticket: object, load: object) -> bool:
            raise ValueError("odd")

    plugin = Given(limit=Odd(1))
    async with started(plugin.settings, plugin) as runtime:
        assert runtime.pipeline.has_room("")
        assert (await runtime.pipeline.handle(chat("x"), ScriptedEngine())).status == "miss"


async def test_a_limit_with_a_life_of_its_own_is_refused() -> None:
    class Alive(AtMost):
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def check_ready(self) -> list[object]:
            return []

    plugin = Given(limit=Alive(1))
    with pytest.raises(PluginError, match="one is made for each deployment"):
        async with started(plugin.settings, plugin):
            pass
