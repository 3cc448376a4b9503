"""Equal requests in flight share one computation."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forebay.middleware.records import Answer, Entry
from forebay.middleware.twins import Turn, Twins

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.middleware.twins import Live

ENTRY = Entry("k", "s", "", "q", Answer({}), "m", "t", 0.0, expires_s=time.time() + 3600.0)
FOREVER = 60.0


def follow(twins: Twins, *names: str, timeout_s: float = FOREVER) -> list[asyncio.Task[Entry | Turn | Live]]:
    return [asyncio.create_task(twins.join("k", name, timeout_s), name=name) for name in names]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def led(*followers: str) -> tuple[Twins, list[asyncio.Task[Entry | Turn | Live]]]:
    """Twins with a leader "a" and these followers."""
    twins = Twins()
    assert await twins.join("k", "a", FOREVER) is Turn.LEAD
    tasks = follow(twins, *followers)
    await turns()
    return twins, tasks


async def test_an_answer_that_is_held_for_long_expires() -> None:
    now_s = [0.0]
    twins = Twins(clock=lambda: now_s[0])
    twins.hold("k", replace(ENTRY, expires_s=5.0))
    assert twins.busy("k")
    now_s[0] = 5.0
    assert not twins.busy("k")
    assert await twins.join("k", "a", FOREVER) is Turn.LEAD


async def test_the_first_leads_and_its_answer_wakes_all() -> None:
    twins, tasks = await led("b", "c", "d")
    assert twins.busy("k")
    assert twins.leads("k", "a")
    assert not twins.leads("k", "b")
    assert twins.answered("k", "a", ENTRY) == 3
    assert await asyncio.gather(*tasks) == [ENTRY] * 3
    assert not twins.busy("k")
    assert len(twins) == 0


async def test_other_keys_are_other_groups() -> None:
    twins, _ = await led()
    assert await twins.join("other", "b", FOREVER) is Turn.LEAD
    assert len(twins) == 2


async def test_a_leader_that_comes_again_still_leads() -> None:
    twins, _ = await led()
    assert await twins.join("k", "a", FOREVER) is Turn.LEAD
    assert twins.answered("k", "a", ENTRY) == 0


async def test_a_leader_that_failed_lets_all_run_alone() -> None:
    twins, tasks = await led("b", "c")
    assert twins.answered("k", "a", None) == 2
    assert await asyncio.gather(*tasks) == [Turn.ALONE] * 2
    assert len(twins) == 0


async def test_a_leader_that_left_hands_over_to_the_first_follower() -> None:
    twins, (b, c) = await led("b", "c")
    twins.hand_over("k", "a")
    assert await b is Turn.LEAD
    assert twins.leads("k", "b")
    assert not c.done()
    assert twins.answered("k", "a", ENTRY) == 0  # it no longer leads
    assert twins.answered("k", "b", ENTRY) == 1
    assert await c is ENTRY


async def test_a_leader_without_followers_ends_the_group() -> None:
    twins, _ = await led()
    twins.hand_over("k", "a")
    assert len(twins) == 0
    assert await twins.join("k", "b", FOREVER) is Turn.LEAD


async def test_who_does_not_lead_cannot_end_the_group() -> None:
    twins, (b,) = await led("b")
    assert twins.answered("k", "b", ENTRY) == 0
    twins.hand_over("k", "b")
    assert twins.answered("none", "a", ENTRY) == 0
    assert not b.done()
    assert twins.answered("k", "a", ENTRY) == 1
    assert await b is ENTRY


async def test_a_follower_that_left_is_passed_over() -> None:
    twins, (b, c) = await led("b", "c")
    b.cancel()
    with pytest.raises(asyncio.CancelledError):
        await b
    twins.hand_over("k", "a")
    assert await c is Turn.LEAD


async def test_a_follower_that_is_leaving_is_passed_over() -> None:
    twins, (b, c) = await led("b", "c")
    b.cancel()  # it has not run since
    twins.hand_over("k", "a")
    with pytest.raises(asyncio.CancelledError):
        await b
    assert await c is Turn.LEAD
    assert twins.leads("k", "c")


async def test_a_follower_that_is_elected_while_it_leaves_hands_over() -> None:
    twins, (b, c) = await led("b", "c")
    twins.hand_over("k", "a")
    assert twins.leads("k", "b")
    b.cancel()  # elected, but it has not run since
    with pytest.raises(asyncio.CancelledError):
        await b
    assert await c is Turn.LEAD


async def test_when_all_leave_at_once_the_group_ends() -> None:
    twins, tasks = await led("b", "c", "d")
    twins.hand_over("k", "a")
    for task in tasks:
        task.cancel()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(twins) == 0


async def test_a_follower_whose_time_is_up_runs_alone() -> None:
    twins, (c,) = await led("c")
    (b,) = follow(twins, "b", timeout_s=0.01)
    assert await b is Turn.ALONE
    assert not c.done()
    assert twins.answered("k", "a", ENTRY) == 1
    assert await c is ENTRY


@pytest.mark.parametrize("entry", [ENTRY, None])
async def test_an_answer_at_the_moment_the_time_is_up_is_taken(entry: Entry | None) -> None:
    twins, _ = await led()
    (b,) = follow(twins, "b", timeout_s=0.2)
    await turns()
    asyncio.get_running_loop().call_later(0.001, twins.answered, "k", "a", entry)
    time.sleep(0.25)  # noqa: ASYNC251  (both are due now: the loop runs them with no task between)
    assert await b is (entry or Turn.ALONE)


async def test_who_is_elected_at_the_moment_the_time_is_up_leads() -> None:
    twins, _ = await led()
    (b,) = follow(twins, "b", timeout_s=0.2)
    await turns()
    asyncio.get_running_loop().call_later(0.001, twins.hand_over, "k", "a")
    time.sleep(0.25)  # noqa: ASYNC251  (both are due now: the loop runs them with no task between)
    assert await b is Turn.LEAD
    assert twins.leads("k", "b")


class TwinsMachine(RuleBasedStateMachine):
    """Whatever leaders and followers do: nobody waits for a leader that is gone, and none leads without knowing."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.twins = Twins()
        self.tasks: dict[str, asyncio.Task[Entry | Turn | Live]] = {}
        self.leaders: set[str] = set()
        self.names = 0

    def run(self, *steps: Callable[[], object]) -> None:
        async def turn() -> None:
            for step in steps:
                step()
            await turns()

        self.runner.run(turn())
        for name, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[name]
                if not task.cancelled() and task.result() is Turn.LEAD:
                    self.leaders.add(name)

    def _join(self) -> None:
        name = f"f{self.names}"
        self.names += 1
        self.tasks[name] = asyncio.create_task(self.twins.join("k", name, FOREVER))

    def _end(self, how: str) -> None:
        name = self.leaders.pop()
        if how == "leaves":
            self.twins.hand_over("k", name)
        else:
            self.twins.answered("k", name, ENTRY if how == "answers" else None)

    @rule(many=st.integers(1, 3))
    def join(self, many: int) -> None:
        self.run(*[self._join] * many)

    @precondition(lambda self: self.leaders)
    @rule(how=st.sampled_from(["answers", "fails", "leaves"]))
    def end(self, how: str) -> None:
        self.run(lambda: self._end(how))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        self.run(self.tasks[data.draw(st.sampled_from(sorted(self.tasks)))].cancel)

    @precondition(lambda self: self.leaders and self.tasks)
    @rule(data=st.data(), how=st.sampled_from(["answers", "fails", "leaves"]), first=st.booleans())
    def end_while_some_leave(self, data: Any, how: str, first: bool) -> None:
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.tasks)), min_size=1))
        steps: list[Callable[[], object]] = [self.tasks[name].cancel for name in sorted(chosen)]
        steps.insert(0 if first else len(steps), lambda: self._end(how))
        self.run(*steps)

    @invariant()
    def somebody_who_knows_leads_exactly_while_somebody_waits(self) -> None:
        assert len(self.leaders) == len(self.twins) <= 1
        assert all(self.twins.leads("k", name) for name in self.leaders)
        assert self.leaders or not self.tasks

    def teardown(self) -> None:
        try:
            while self.leaders:
                self.run(lambda: self._end("leaves"))
            assert not self.tasks
        finally:
            with suppress(asyncio.CancelledError):
                self.runner.close()


TwinsMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestTwinsMachine = TwinsMachine.TestCase


async def test_an_answer_on_its_way_into_the_store_answers_who_comes_now() -> None:
    twins, _ = await led()
    twins.hold("k", ENTRY)
    twins.answered("k", "a", ENTRY)
    assert twins.busy("k")
    assert await twins.join("k", "late", FOREVER) is ENTRY
    other = Entry("k", "s", "", "q", Answer({}), "m", "t", 0.0, 1.0)
    twins.let_go("k", other)  # of another flight with the same key
    assert twins.busy("k")
    twins.let_go("k", ENTRY)
    assert await twins.join("k", "later", FOREVER) is Turn.LEAD
