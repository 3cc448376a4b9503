"""What every coordination must do.

Subclass `CoordinationContract` and give it a fixture `made`: a factory of coordinations that belong to one
deployment, not yet started. `SharedContract` is for those that can share places.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.coordination import Claimed, Roster, Told
from forebay.middleware.protocols import Component, Coordination
from forebay.middleware.records import Selector

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

SOON = 1.0
"""Within this many seconds every worker has forgotten what one was told to forget."""
PATIENT = 10.0


class Ears:
    """A listener that keeps what it hears."""

    def __init__(self, dropped: int = 1, about: str = "") -> None:
        self.heard: list[tuple[float, Selector]] = []
        self.rosters: list[Roster] = []
        self.dropped = dropped
        self.said = about
        self.error: Exception | None = None

    async def forget(self, selector: Selector) -> int:
        self.heard.append((time.monotonic(), selector))
        if self.error is not None:
            raise self.error
        return self.dropped

    def changed(self, roster: Roster) -> None:
        self.rosters.append(roster)

    def about(self) -> str:
        return self.said


Make = Any
"""Called with ``serves=`` and ``name=``; returns a coordination."""


@asynccontextmanager
async def working(made: Make, *ears: Ears, **options: Any) -> AsyncGenerator[list[Any]]:
    """Several coordinations of one deployment at work, each seen by all others."""
    crew: list[Any] = []
    try:
        for each in ears:
            one = made(**options)
            one.hear(each)
            crew.append(one)
            await one.start()
        if options.get("serves", True):
            await reached(lambda: all(len(one.roster().workers) >= len(crew) for one in crew))
        yield crew
    finally:
        for one in reversed(crew):
            await one.stop()


async def reached(condition: Callable[[], object], timeout_s: float = PATIENT) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (it happens in another process, or in Redis)
            await asyncio.sleep(0.01)


class CoordinationContract:
    async def test_it_is_a_coordination(self, made: Make) -> None:
        one = made()
        assert isinstance(one, Coordination)
        assert isinstance(one, Component)

    async def test_all_see_all_in_the_same_order(self, made: Make) -> None:
        async with working(made, Ears(about="here"), Ears(about="there"), Ears()) as crew:
            rosters = [one.roster() for one in crew]
            assert len({tuple(worker.name for worker in roster.workers) for roster in rosters}) == 1
            assert sorted(roster.rank for roster in rosters) == [0, 1, 2]
            await reached(lambda: [w.about for w in crew[2].roster().workers].count("here") == 1)

    async def test_who_leaves_is_no_longer_seen_and_that_is_told(self, made: Make) -> None:
        ears = Ears()
        async with working(made, ears) as (one,):
            async with working(made, Ears()):
                await reached(lambda: len(one.roster().workers) == 2)
            await reached(lambda: len(one.roster().workers) == 1)
            assert [len(roster.workers) for roster in ears.rosters][-2:] == [2, 1]

    async def test_who_only_looks_is_not_seen(self, made: Make) -> None:
        async with working(made, Ears()) as (one,), working(made, Ears(), serves=False) as (guest,):
            await reached(lambda: len(guest.roster().workers) == 1)
            assert len(one.roster().workers) == 1
            told = await guest.tell(Selector(id="x"), PATIENT)
            assert told == Told(workers=1, answered=1, dropped=1)

    async def test_what_one_tells_all_others_hear_soon(self, made: Make) -> None:
        ears = [Ears(), Ears(dropped=2), Ears(dropped=3)]
        async with working(made, *ears) as crew:
            for selector in (Selector(id='a"b'), Selector(tenant="t", model="m\n"), Selector()):
                began = time.monotonic()
                assert await crew[0].tell(selector, PATIENT) == Told(2, 2, 5)
                for each in ears[1:]:
                    at, heard = each.heard[-1]
                    assert heard == selector
                    assert at - began < SOON
        assert ears[0].heard == []

    async def test_telling_nobody(self, made: Make) -> None:
        async with working(made, Ears()) as (one,):
            assert await one.tell(Selector(), PATIENT) == Told(0, 0, 0)

    async def test_who_fails_to_forget_is_not_counted_as_done(self, made: Make) -> None:
        bad, good = Ears(), Ears()
        bad.error = RuntimeError("disk")
        async with working(made, Ears(), bad, good) as crew:
            assert await crew[0].tell(Selector(), 0.5) == Told(2, 1, 1)
            bad.error = None
            assert (await crew[0].tell(Selector(), PATIENT)).answered == 2

    async def test_nobody_needs_to_wait_for_the_others(self, made: Make) -> None:
        ears = Ears()
        async with working(made, Ears(), ears) as crew:
            told = await crew[0].tell(Selector(id="a"), 0.0)
            assert told.workers == 1
            await reached(lambda: ears.heard)

    async def test_one_at_a_time(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("house", "m", 1, 0.0)).granted
            assert (await one.claim("house", "m", 1, 0.0)).granted  # it has it
            assert not (await other.claim("house", "m", 1, 0.0)).granted
            assert not (await one.claim("house", "n", 1, 0.0)).granted
            assert (await other.claim("another/../name", "m", 1, 0.0)).granted
            await other.release("house", "m")  # not held: nothing happens
            assert not (await other.claim("house", "m", 1, 0.0)).granted
            await one.release("house", "m")
            assert (await other.claim("house", "m", 1, 0.0)).granted

    async def test_stopping_gives_back(self, made: Make) -> None:
        async with working(made, Ears()) as (one,):
            async with working(made, Ears()) as (other,):
                assert (await other.claim("house", "m", 1, 0.0)).granted
            assert (await one.claim("house", "m", 1, 0.0)).granted

    async def test_it_says_how_it_is(self, made: Make) -> None:
        async with working(made, Ears()) as (one,):
            assert [finding.ok for finding in await one.check_ready()] == [True]


class SharedContract(CoordinationContract):
    async def test_places_are_shared(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert one.roster().shared
            assert [(await each.claim("lane", "a", 3, 0.0)).granted for each in (one, other)] == [True, True]
            assert (await one.claim("lane", "b", 3, 0.0)).granted
            assert not (await other.claim("lane", "b", 3, 0.0)).granted
            await one.release("lane", "a")
            assert (await other.claim("lane", "b", 3, 0.0)).granted

    async def test_who_waits_is_woken(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("lane", "a", 1, 0.0)).granted
            waiting = asyncio.create_task(other.claim("lane", "b", 1, PATIENT))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await one.release("lane", "a")
            assert (await waiting).granted
            assert time.monotonic() - began < 0.5

    async def test_a_wait_has_an_end(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("lane", "a", 1, 0.0)).granted
            began = time.monotonic()
            assert await other.claim("lane", "b", 1, 0.2) == Claimed(granted=False)
            assert 0.15 < time.monotonic() - began < 2.0

    async def test_who_stops_waiting_takes_nothing(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("lane", "a", 1, 0.0)).granted
            waiting = [asyncio.create_task(other.claim("lane", f"w{at}", 1, PATIENT)) for at in range(20)]
            await asyncio.sleep(0.05)
            releasing = asyncio.create_task(one.release("lane", "a"))
            for at, task in enumerate(waiting):
                await asyncio.sleep(0.0003 * at)  # some of them in the middle of being let in
                task.cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            await releasing
            for at, end in enumerate(ended):
                if isinstance(end, Claimed):
                    await other.release("lane", f"w{at}")
            assert (await one.claim("lane", "z", 1, PATIENT)).granted

    @pytest.mark.parametrize("text", ["an answer", "x" * 100_000, "ünïcode \n newline"])
    async def test_what_is_left_answers_those_who_wait_and_those_who_come(self, made: Make, text: str) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("twin", "a", 1, 0.0)).granted
            waiting = asyncio.create_task(other.claim("twin", "b", 1, PATIENT))
            await asyncio.sleep(0.05)
            await one.release("twin", "a", text)
            assert await waiting == Claimed(granted=False, left=text)
            assert await other.claim("twin", "c", 1, 0.0) == Claimed(granted=False, left=text)

    async def test_nothing_left_on_purpose_is_for_those_who_waited_alone(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("twin", "a", 1, 0.0)).granted
            waiting = asyncio.create_task(other.claim("twin", "b", 1, PATIENT))
            await asyncio.sleep(0.05)
            await one.release("twin", "a", "")
            assert await waiting == Claimed(granted=False, left="")
            assert (await other.claim("twin", "c", 1, 0.0)).granted

    async def test_a_holder_that_leaves_without_a_word_is_followed(self, made: Make) -> None:
        async with working(made, Ears(), Ears()) as (one, other):
            assert (await one.claim("twin", "a", 1, 0.0)).granted
            waiting = asyncio.create_task(other.claim("twin", "b", 1, PATIENT))
            await asyncio.sleep(0.05)
            await one.release("twin", "a")
            assert (await waiting).granted

    async def test_never_more_than_there_are_places(self, made: Make) -> None:
        inside = most = 0
        async with working(made, Ears(), Ears(), Ears()) as crew:

            async def visit(at: int) -> None:
                nonlocal inside, most
                one = crew[at % 3]
                assert (await one.claim("lane", str(at), 4, PATIENT)).granted
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1
                await one.release("lane", str(at))

            await asyncio.gather(*(visit(at) for at in range(120)))
        assert most == 4
