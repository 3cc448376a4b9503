"""A gate for tests."""

from __future__ import annotations

import asyncio
from typing import Any

from forebay.middleware.admission.gate import Gate, Lease
from forebay.middleware.admission.tickets import Load
from tests.middleware.parts import AtMost, FakeClock, Queue, counted, ticket, until

FOREVER = 60.0


class Rig:
    """A gate whose limit can be moved."""

    def __init__(self, most: int = 1, *, max_queue: int = 100, ordering: Any = None, limit: Any = None) -> None:
        self.limit = limit if limit is not None else AtMost(most)
        self.ordering = ordering if ordering is not None else Queue()
        self.clock = FakeClock()
        self.gate = Gate(self.ordering, self.limit, max_queue=max_queue, clock=self.clock)

    async def enter(self, name: str, *, tokens: int = 0) -> Lease:
        return await self.gate.acquire(ticket(name, tokens=tokens), FOREVER)

    def wait(self, name: str, timeout_s: float = FOREVER) -> asyncio.Task[Lease]:
        return asyncio.create_task(self.gate.acquire(ticket(name), timeout_s))

    async def queue(self, *names: str) -> list[asyncio.Task[Lease]]:
        """Let these wait, in this order."""
        tasks: list[asyncio.Task[Lease]] = []
        for name in names:
            queued = self.gate.load.queued
            tasks.append(self.wait(name))
            await until(lambda queued=queued: self.gate.load.queued == queued + 1)  # type: ignore[misc]
        return tasks

    @property
    def empty(self) -> bool:
        return counted(self.gate.load) == Load(0, 0, 0) and len(self.ordering) == 0
