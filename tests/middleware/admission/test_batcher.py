"""The queue of batches: who gets what, who leaves, what fails, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import gc
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.admission.batcher import Batches
from forebay.middleware.admission.tickets import Formed, Ticket
from forebay.middleware.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fcfs:
    """All who wait, up to a size."""

    def __init__(self, size: int = 4, cork_s: float = 0.0) -> None:
        self.size = size
        self.cork_s = cork_s
        self.waiting: OrderedDict[str, Ticket] = OrderedDict()
        self.learned: list[tuple[Sequence[Ticket], float]] = []

    def push(self, ticket: Ticket) -> None:
        self.waiting[ticket.id] = ticket

    def form(self, now_s: float) -> Formed:
        if self.cork_s and len(self.waiting) < self.size:
            due_s = next(iter(self.waiting.values())).enqueued_s + self.cork_s
            if now_s < due_s:
                return Formed(ask_again_s=due_s)
        count = min(self.size, len(self.waiting))
        return Formed(tuple(self.waiting.popitem(last=False)[1] for _ in range(count)))

    def remove(self, ticket_id: str) -> bool:
        return self.waiting.pop(ticket_id, None) is not None

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        self.learned.append((members, seconds))

    def __len__(self) -> int:
        return len(self.waiting)


class Broken(Fcfs):
    """Raises wherever it can."""

    def push(self, ticket: Ticket) -> None:
        raise RuntimeError("push")

    def form(self, now_s: float) -> Formed:
        raise RuntimeError("form")

    def remove(self, ticket_id: str) -> bool:
        raise RuntimeError("remove")

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        raise RuntimeError("measured")


class Silent(Fcfs):
    """Never names anybody, nor a moment."""

    def form(self, now_s: float) -> Formed:
        return Formed()


@dataclass
class Engine:
    """Doubles numbers; those in `bad` fail the whole batch, those in `alone` only themselves."""

    bad: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()
    batches: list[list[int]] = field(default_factory=list[list[int]])
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, works: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(works))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.bad & set(works):
            raise EngineError("the engine failed", status=500)
        return [EngineError("no", status=400) if work in self.alone else 2 * work for work in works]


def ticket(name: object, enqueued_s: float = 0.0) -> Ticket:
    return Ticket(id=str(name), tenant="t", enqueued_s=enqueued_s, input_tokens=10, output_tokens=5.0)


async def outcomes(batches: Batches[int, int], works: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(batches.submit(ticket(work), work) for work in works), return_exceptions=True)


async def test_each_gets_its_own_result_in_batches() -> None:
    engine, former = Engine(), Fcfs()
    batches = Batches[int, int](former, engine.run)
    assert await outcomes(batches, range(10)) == [2 * work for work in range(10)]
    assert engine.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(members) for members, _ in former.learned] == [4, 4, 2]
    await batches.stop()


async def test_the_former_learns_the_tokens_that_were() -> None:
    engine, former = Engine(), Fcfs()
    batches = Batches[int, int](former, engine.run, output_tokens=lambda result: result)
    await outcomes(batches, [7, 0])
    assert [member.output_tokens for member in former.learned[0][0]] == [14.0, 5.0]
    await batches.stop()


async def test_a_members_own_error_is_its_own() -> None:
    engine, former = Engine(alone=frozenset({2})), Fcfs()
    batches = Batches[int, int](former, engine.run)
    results = await outcomes(batches, range(4))
    assert [results[0], results[1], results[3]] == [0, 2, 6]
    assert isinstance(results[2], EngineError)
    assert results[2].status == 400
    assert not former.learned
    await batches.stop()


async def test_one_bad_member_does_not_fail_the_others() -> None:
    engine, former = Engine(bad=frozenset({5})), Fcfs(size=8)
    batches = Batches[int, int](former, engine.run)
    results = await outcomes(batches, range(8))
    assert [result for result in results if not isinstance(result, BaseException)] == [0, 2, 4, 6, 8, 12, 14]
    assert isinstance(results[5], EngineError)
    assert not former.learned
    await batches.stop()


async def test_an_engine_that_is_down_is_not_asked_for_every_member() -> None:
    engine = Engine(bad=frozenset(range(16)))
    batches = Batches[int, int](Fcfs(size=16), engine.run)
    results = await outcomes(batches, range(16))
    assert all(isinstance(result, EngineError) for result in results)
    assert [len(batch) for batch in engine.batches] == [16, 8, 4, 2, 1, 1]
    await batches.stop()


async def test_a_wrong_number_of_results_is_an_error() -> None:
    async def short(works: Sequence[int]) -> list[int | Exception]:
        return [1] * (len(works) - 1)

    batches = Batches[int, int](Fcfs(), short)
    (result,) = await outcomes(batches, [1])
    assert isinstance(result, EngineError)
    assert "0 results for 1 members" in str(result)
    await batches.stop()


async def test_who_leaves_the_queue_is_not_computed() -> None:
    engine = Engine(gate=asyncio.Event())
    former = Fcfs(size=1)
    batches = Batches[int, int](former, engine.run)
    first = asyncio.create_task(batches.submit(ticket(1), 1))
    await engine.entered.wait()
    second = asyncio.create_task(batches.submit(ticket(2), 2))
    third = asyncio.create_task(batches.submit(ticket(3), 3))
    await asyncio.sleep(0)  # both tasks have run up to their wait
    assert len(batches) == 2
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert len(batches) == len(former) == 1
    assert engine.gate is not None
    engine.gate.set()
    assert [await first, await third] == [2, 6]
    assert engine.batches == [[1], [3]]
    await batches.stop()


async def test_who_leaves_a_running_batch_harms_nobody() -> None:
    engine = Engine(gate=asyncio.Event())
    batches = Batches[int, int](Fcfs(), engine.run)
    tasks = [asyncio.create_task(batches.submit(ticket(work), work)) for work in range(3)]
    await engine.entered.wait()
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert engine.gate is not None
    engine.gate.set()
    assert [await tasks[0], await tasks[2]] == [0, 4]
    assert engine.batches == [[0, 1, 2]]
    await batches.stop()


async def test_a_corked_batch_goes_when_it_is_full_or_due() -> None:
    now_s = asyncio.get_running_loop().time
    engine = Engine()
    batches = Batches[int, int](Fcfs(size=2, cork_s=30.0), engine.run, clock=now_s)
    first = asyncio.create_task(batches.submit(ticket(1, now_s()), 1))
    await asyncio.sleep(0)
    assert len(batches) == 1
    assert not engine.batches
    assert await batches.submit(ticket(2, now_s()), 2) == 4
    assert await first == 2
    assert await batches.submit(ticket(3, now_s() - 29.99), 3) == 6
    assert engine.batches == [[1, 2], [3]]
    await batches.stop()


@pytest.mark.parametrize("former", [Broken(), Silent()])
async def test_a_broken_former_holds_nobody_up(former: Fcfs) -> None:
    engine = Engine()
    batches = Batches[int, int](former, engine.run)
    assert await outcomes(batches, range(5)) == [0, 2, 4, 6, 8]
    assert len(engine.batches) == 5
    await batches.stop()


async def test_stop_fails_what_runs_and_what_waits() -> None:
    engine = Engine(gate=asyncio.Event())
    former = Fcfs(size=2)
    batches = Batches[int, int](former, engine.run)
    tasks = [asyncio.create_task(batches.submit(ticket(work), work)) for work in range(5)]
    await engine.entered.wait()
    await batches.stop()
    for task in tasks:
        with pytest.raises(EngineError, match="stopped"):
            await task
    assert len(batches) == len(former) == 0
    with pytest.raises(EngineError, match="stopped"):
        await batches.submit(ticket(9), 9)


async def test_an_id_waits_once() -> None:
    engine = Engine(gate=asyncio.Event())
    batches = Batches[int, int](Fcfs(size=1), engine.run)
    tasks = [asyncio.create_task(batches.submit(ticket(work), work)) for work in (1, 2)]
    await engine.entered.wait()
    with pytest.raises(ValueError, match="id of its own"):
        await batches.submit(ticket(2), 2)
    assert engine.gate is not None
    engine.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4]
    await batches.stop()


async def test_500_cancels_leave_nothing_behind() -> None:
    engine = Engine(gate=asyncio.Event())
    former = Fcfs(size=8)
    batches = Batches[int, int](former, engine.run)
    before = len(asyncio.all_tasks())
    tasks = [asyncio.create_task(batches.submit(ticket(work), work)) for work in range(500)]
    await engine.entered.wait()
    for place, task in enumerate(tasks):
        task.cancel()
        if place % 7 == 0:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert len(batches) == len(former) == 0
    assert engine.gate is not None
    engine.gate.set()
    assert await batches.submit(ticket("after"), 21) == 42
    await batches.stop()
    assert len(asyncio.all_tasks()) == before
    gc.collect()  # a future whose exception nobody took would warn here
