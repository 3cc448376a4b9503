"""The clients of a sequence, and what they may get."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from forebay.middleware.chat import assemble
from forebay.middleware.errors import EngineError, ForebayError
from forebay.middleware.records import CacheStatus, Selector
from tests.safety.stack import KEYRING
from tests.safety.world import ERROR_GRACE_S, SHADOWED, number_in, why_not_equal, why_not_similar

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from forebay.middleware.pipeline import Reply
    from forebay.middleware.records import Entry, JsonObject
    from tests.safety.loop import StillLoop
    from tests.safety.stack import Stack
    from tests.safety.world import Ask

CACHED: Final = {CacheStatus.EXACT, CacheStatus.INFLIGHT, CacheStatus.SEMANTIC, CacheStatus.STALE}


@dataclass(frozen=True, slots=True)
class Forget:
    """A forget that went through; requests that began before it leave nothing behind."""

    matches: Callable[[Ask], bool]
    begun: int
    done: int


class Clients:
    """Sends requests, each in a task of its own, and looks at every answer as it arrives.

    Attributes:
        tasks: one a request.
        violations: what should never have been answered.
    """

    def __init__(self, loop: StillLoop, stack: Stack, seen: Counter[str]) -> None:
        self.loop = loop
        self.stack = stack
        self.tasks: list[asyncio.Task[None]] = []
        self.violations: list[str] = []
        self._forgets: list[Forget] = []
        self._order = 0
        self._seen = seen

    def _happens(self) -> None:
        self._order += 1
        self.stack.engine.order = self._order

    def ask(self, ask: Ask, ending: str = "") -> str:
        """Send a request; return its id.

        Args:
            ending: lets the engine end it that way, where it gets there; "" leaves it there.
        """
        self._happens()
        name = ask.request(self._order).id
        self.stack.engine.asks[name] = (ask, self._order)
        self.tasks.append(self.loop.create_task(self._run(name, ask, self._order)))
        self.loop.settle()
        self.end(name, ending)
        return name

    def end(self, name: str, ending: str) -> None:
        """Let the engine end a request."""
        engine = self.stack.engine
        while ending and (call := engine.call_of(name)) is not None:
            self._seen[f"engine: {engine.let_go(call, ending)}"] += 1
            self.loop.settle()

    def leave(self, at: int) -> None:
        """Let one of those who wait go away."""
        waiting = [task for task in self.tasks if not task.done()]
        if waiting:
            waiting[at % len(waiting)].cancel()
            self._seen["clients left"] += 1
            self.loop.settle()

    def forget(self, by: str, ask: Ask) -> None:
        """Forget what one of the requests was about."""
        selector, matching = _selector(by, ask)
        self._happens()
        begun = self._order
        if by.startswith("epoch"):
            selector = self.stack.keeper.epochs.bump(selector.tenant)
        try:
            self.loop.run(self.stack.workers.forget(selector))
        except (ForebayError, TimeoutError):
            self._seen["forgets that failed"] += 1
            return
        self._happens()
        self._forgets.append(Forget(matching, begun, self._order))
        self._seen["forgets"] += 1

    def close(self) -> None:
        """End everything.

        Raises:
            AssertionError: somebody waits for ever, or got an error that is none of forebay's.
        """
        for task in self.tasks:
            task.cancel()
        self.loop.settle()
        self.loop.run(self.stack.pipeline.drain(60.0))
        self.loop.run(self.stack.refresher.drain(60.0))
        self.loop.run(self.stack.pipeline.drain(60.0))
        self.loop.run(self.stack.keeper.stop())
        left = sum(not task.done() for task in self.tasks)
        crashed = [task.exception() for task in self.tasks if task.done() and not task.cancelled() and task.exception()]
        self.loop.close()
        if left or crashed:
            raise AssertionError(f"{left} clients wait for ever, {len(crashed)} crashed: {crashed[:1]}")

    async def _run(self, name: str, ask: Ask, order: int) -> None:
        begun_s = self.stack.clock()
        try:
            reply = await self.stack.pipeline.handle(ask.request(order), self.stack.engine)
            body = await _whole(reply)
        except asyncio.CancelledError:
            made = self.stack.engine.of_request.get(name)
            if made is not None:
                made.cancelled = True
            raise
        except (EngineError, ForebayError) as error:
            self._seen[f"client: {type(error).__name__}"] += 1
            return
        self._seen[f"client: {reply.status.value}"] += 1
        made = self.stack.engine.of_request.get(name)
        if reply.status in CACHED:
            self.violations += self._wrong(ask, order, begun_s, reply.status, body)
        elif made is None or (made.number != number_in(body) and made.ending != "empty"):
            self.violations.append("an answer of nobody's")

    def _wrong(self, ask: Ask, order: int, begun_s: float, status: CacheStatus, body: JsonObject) -> list[str]:
        """Return what is wrong with an answer from the cache."""
        number = number_in(body)
        made = self.stack.engine.made.get(number) if number is not None else None
        if made is None or body["choices"][0]["message"]["content"] != made.stamp():
            return ["an answer that the engine never gave"]
        why = why_not_equal(ask, made.ask) if status is CacheStatus.EXACT else why_not_similar(ask, made.ask)
        if status is CacheStatus.INFLIGHT and ask.question != made.ask.question:
            self._seen["similar twins"] += 1
        if ask.context != made.ask.context:
            self._seen["contexts in other words"] += 1
        elif ask.history != made.ask.history:
            self._seen["hits across conversations"] += 1
        found = [f"an answer to {why}"] if why else []
        if made.ending != "ok" or made.cancelled:
            found.append("an answer that did not end well")
        if ask.model == SHADOWED or ask.controls.bypass or ask.controls.no_cache:
            found.append("an answer from the cache where none is wanted")
        if any(each.matches(made.ask) and made.order < each.begun and order > each.done for each in self._forgets):
            found.append("an answer that was forgotten")
        entry = self.stack.store.entry_of.get(made.number)
        if status is not CacheStatus.INFLIGHT and not self.stack.store.allowed(made.number):
            found.append("an answer that is not the last one written")
        if entry is None:
            return found
        stale = status is CacheStatus.STALE
        return (
            found + self._old(ask, begun_s, entry) + (self._too_stale if stale else self._expired)(ask, begun_s, entry)
        )

    def _expired(self, _: Ask, moment_s: float, entry: Entry) -> list[str]:
        return ["an answer that has expired"] if entry.expires_s <= moment_s else []

    def _too_stale(self, ask: Ask, moment_s: float, entry: Entry) -> list[str]:
        found: list[str] = []
        if moment_s - entry.expires_s >= ERROR_GRACE_S:
            found.append("an answer beyond its grace")
        if ask.controls.max_stale_s is not None and moment_s - entry.expires_s > ask.controls.max_stale_s:
            found.append("an answer that is staler than the caller wants")
        if ask.controls.no_store:
            found.append("a stale answer to one whose answer must not be stored")
        return found

    def _old(self, ask: Ask, moment_s: float, entry: Entry) -> list[str]:
        found: list[str] = []
        if ask.controls.max_age_s is not None and moment_s - entry.created_s > ask.controls.max_age_s:
            found.append("an answer that is too old for the caller")
        return found


def _selector(by: str, ask: Ask) -> tuple[Selector, Callable[[Ask], bool]]:
    if by in ("tenant", "epoch of tenant"):
        return Selector(tenant=KEYRING.digest("tenant", ask.tenant)), lambda other: other.tenant == ask.tenant
    if by == "model":
        return Selector(model=ask.model), lambda other: other.model == ask.model
    return Selector(), lambda other: True


async def _whole(reply: Reply) -> JsonObject:
    if reply.body is not None:
        return reply.body
    assert reply.chunks is not None
    async with aclosing(reply.chunks) as chunks:
        return assemble([chunk async for chunk in chunks]).body
