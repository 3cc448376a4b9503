"""Small parts for tests of the core: components that are given as objects, observers that keep what they see."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from forebay import hookimpl
from forebay.middleware.admission.tickets import Load, Ticket
from forebay.middleware.registry import KINDS, Build, NoSettings, Registrar

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.middleware.events import Decision, Evicted, Finished, Stored
    from forebay.middleware.runtime import Runtime
    from forebay.middleware.twins import Twins


class Given:
    """A plugin whose components are these objects, by kind; `settings` chooses them."""

    def __init__(self, **parts: object) -> None:
        self._parts = parts
        self.settings: dict[str, Any] = {}
        for kind in parts:
            if kind == "answer_check":
                self.settings["answer_checks"] = [{"type": "given"}]
            else:
                self.settings[kind] = {"type": "given"}

    @hookimpl
    def register_components(self, registry: Registrar) -> None:
        for kind, part in self._parts.items():
            registry.add(KINDS[kind], "given", _giving(part), settings=NoSettings)


def _giving(part: object) -> Callable[[NoSettings, Build], Any]:
    return lambda _settings, _build: part


class Spy:
    """A plugin that keeps what the observers are told."""

    def __init__(self) -> None:
        self.finished: list[Finished] = []
        self.stored: list[Stored] = []
        self.evicted: list[Evicted] = []
        self.decisions: list[Decision] = []

    @hookimpl
    def request_finished(self, finished: Finished) -> None:
        self.finished.append(finished)

    @hookimpl
    def entry_stored(self, stored: Stored) -> None:
        self.stored.append(stored)

    @hookimpl
    def entry_evicted(self, evicted: Evicted) -> None:
        self.evicted.append(evicted)

    @hookimpl
    def decision_made(self, decision: Decision) -> None:
        self.decisions.append(decision)


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Queue:
    """First come, first served; counts what is asked of it."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []

    def push(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)

    def peek(self, now_s: float) -> Ticket | None:
        return self.tickets[0] if self.tickets else None

    def remove(self, ticket_id: str) -> bool:
        before = len(self.tickets)
        self.tickets = [ticket for ticket in self.tickets if ticket.id != ticket_id]
        return len(self.tickets) < before

    def __len__(self) -> int:
        return len(self.tickets)


class AtMost:
    """A limit that can be moved."""

    def __init__(self, most: int) -> None:
        self.most = most

    def admits(self, ticket: Ticket, load: Any) -> bool:
        return bool(load.inflight < self.most)


def ticket(name: str, *, tokens: int = 0) -> Ticket:
    return Ticket(name, "tests", 0.0, tokens)


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  (there is no event for "whatever the test wants")
            await asyncio.sleep(0)


async def settled(runtime: Runtime) -> None:
    """Wait for the background work of all ended flights."""
    await runtime.pipeline.drain(10.0)


def twins_of(runtime: Runtime) -> Twins:
    return runtime.pipeline._stops.twins  # pyright: ignore[reportPrivateUsage]


def followers_of(runtime: Runtime) -> list[str]:
    """Return the flights that wait for another's answer."""
    groups = twins_of(runtime)._groups.values()  # pyright: ignore[reportPrivateUsage]
    return [name for group in groups for name in group.followers]


def errors_of(runtime: Runtime) -> Counter[str]:
    """Return how often each dependency failed."""
    found: Counter[str] = Counter()
    for (metric, *labels), count in runtime.telemetry.counts.items():
        if metric == "forebay.dependency.errors":
            found[dict(label.split("=", 1) for label in labels)["dependency"]] += count
    return found


def counted(load: Load) -> Load:
    """Return the counts alone, without what was predicted and when."""
    return Load(load.inflight, load.queued, load.inflight_tokens)
