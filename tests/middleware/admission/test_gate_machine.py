"""The gate under any history of arrivals, departures and cancellations."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from forebay.middleware.admission.gate import Lease
from forebay.middleware.errors import ShedError
from tests.middleware.admission.gate_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable


class GateMachine(RuleBasedStateMachine):
    """Any history of arrivals, departures, cancellations and moving limits keeps the books right."""

    arrivals: Bundle[str] = Bundle("arrivals")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.rig = Rig(2, max_queue=4)
        self.tasks: dict[str, asyncio.Task[Lease]] = {}
        self.released: set[str] = set()
        self.names = 0

    def run(self, step: Callable[[], object] = lambda: None) -> None:
        async def turn() -> None:
            step()
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(turn())

    @rule(target=arrivals, many=st.integers(1, 3))
    def arrive(self, many: int) -> Any:
        names = [f"t{self.names + at}" for at in range(many)]
        self.names += many

        def start() -> None:
            for name in names:
                self.tasks[name] = self.rig.wait(name)

        self.run(start)
        return multiple(*names)

    @rule(name=consumes(arrivals))
    def leave(self, name: str) -> None:
        task = self.tasks[name]
        if task.done() and not task.cancelled() and task.exception() is None:
            self.released.add(name)
            self.run(task.result().release)
            self.run(task.result().release)

    @rule(name=arrivals)
    def cancel(self, name: str) -> None:
        self.run(self.tasks[name].cancel)

    @rule(one=arrivals, other=arrivals)
    def release_one_and_cancel_another_at_once(self, one: str, other: str) -> None:
        task = self.tasks[one]

        def both() -> None:
            if task.done() and not task.cancelled() and task.exception() is None:
                self.released.add(one)
                task.result().release()
            self.tasks[other].cancel()

        self.run(both)

    @rule(most=st.integers(0, 4))
    def move_the_limit(self, most: int) -> None:
        self.rig.limit.most = most

    @invariant()
    def the_books_are_right(self) -> None:
        load = self.rig.gate.load
        waiting = [task for task in self.tasks.values() if not task.done()]
        assert load.queued == len(waiting) == len(self.rig.ordering) <= 4
        ended = {name: task for name, task in self.tasks.items() if task.done() and not task.cancelled()}
        let_in = {name for name, task in ended.items() if task.exception() is None}
        assert load.inflight == len(let_in - self.released) <= 4
        assert all(isinstance(ended[name].exception(), ShedError) for name in ended.keys() - let_in)

    def teardown(self) -> None:
        self.rig.limit.most = 100

        async def drain() -> None:
            last = self.rig.wait("last") if len(self.rig.ordering) < 4 else None
            if last is None:
                for task in self.tasks.values():
                    if task.done() and not task.cancelled() and task.exception() is None:
                        task.result().release()
                if self.rig.gate.load.queued:
                    waiting = next(task for task in self.tasks.values() if not task.done())
                    waiting.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            if last is not None:
                (await last).release()
            async with asyncio.timeout(10.0):  # nobody is lost
                for task in self.tasks.values():
                    with suppress(asyncio.CancelledError, ShedError):
                        (await task).release()
            assert self.rig.empty

        try:
            self.runner.run(drain())
        finally:
            self.runner.close()


GateMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestGateMachine = GateMachine.TestCase
