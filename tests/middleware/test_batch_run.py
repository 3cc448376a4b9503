"""A batch whose members come from an iterator and go as they are done."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.batch import LEAST_WINDOW, WINDOW, BatchRun
from forebay.middleware.pipeline import Reply
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import text_of
from tests.middleware.parts import settled, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay.middleware.records import Request


class Echo(ScriptedEngine):
    async def _next(self, request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
        await super()._next(request, headers)
        await asyncio.sleep(0)
        return completion(f"to {request.messages[-1]['content']}")


class Source:
    """Requests that are counted as they are taken."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.taken = 0

    def __iter__(self) -> Iterator[Request]:
        for at in range(self._number):
            self.taken += 1
            yield chat(f"question {at}")


async def test_each_member_comes_once_with_its_place() -> None:
    async with started() as runtime:
        run = BatchRun(runtime.pipeline, Echo(), max_parallel=3)
        found = {member.index: member async for member in run.members(Source(300))}
    assert sorted(found) == list(range(300))
    for at, member in found.items():
        assert isinstance(member.outcome, Reply)
        assert text_of(member.outcome) == f"to question {at}"
    report = run.tally.report()
    assert (report.members, report.computed, report.failed) == (300, 300, 0)
    assert report.rate > 0


async def test_few_members_are_taken_ahead_and_none_stays_behind() -> None:
    source = Source(4 * LEAST_WINDOW)
    ahead = held = 0
    async with started() as runtime:
        run = BatchRun(runtime.pipeline, Echo(), max_parallel=2)
        done = 0
        async with aclosing(run.members(source)) as members:
            async for _ in members:
                done += 1
                ahead = max(ahead, source.taken - done)
                held = max(held, len(run._flying))  # pyright: ignore[reportPrivateUsage]
        assert not run._flying  # pyright: ignore[reportPrivateUsage]
    assert done == 4 * LEAST_WINDOW
    assert ahead <= LEAST_WINDOW
    assert held <= 2 * LEAST_WINDOW


async def test_more_at_once_have_a_wider_window() -> None:
    gate = asyncio.Event()
    source = Source(10_000)
    async with started() as runtime:
        run = BatchRun(runtime.pipeline, ScriptedEngine(gate=gate), max_parallel=50)
        members = run.members(source)
        task = asyncio.ensure_future(anext(members))
        await until(lambda: source.taken >= 50 * WINDOW)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert source.taken == 50 * WINDOW


async def test_closing_it_early_ends_every_flight() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["ok"], gate=gate)
    async with started({"limit": {"type": "fixed", "max_inflight": 4}}) as runtime:
        run = BatchRun(runtime.pipeline, engine, max_parallel=8)
        gate.set()
        async with aclosing(run.members(Source(100))) as members:
            async for _ in members:
                gate.clear()
                break
        await settled(runtime)
        assert (runtime.pipeline.inflight, engine.running, runtime.pipeline.gate.load.inflight) == (0, 0, 0)


async def test_a_source_that_fails_ends_the_run_with_its_error() -> None:
    def broken() -> Iterator[Request]:
        yield chat("one")
        raise OSError("gone")

    async with started() as runtime:
        run = BatchRun(runtime.pipeline, Echo())
        with pytest.raises(OSError, match="gone"):
            async for _ in run.members(broken()):
                pass
        await settled(runtime)
        assert runtime.pipeline.inflight == 0
