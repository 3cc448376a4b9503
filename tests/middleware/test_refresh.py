"""Stale answers: served at once and computed anew behind it, once; and served where computing anew fails."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.lifetimes import Lifetime, Revision
from forebay.middleware.records import CacheStatus, Controls, Selector
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.asking import QUESTION, SEMANTIC, SIMILAR, ask, stored, text_of
from tests.middleware.parts import Given, Spy, settled, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from forebay.middleware.records import Answer, Entry, JsonObject, Request
    from forebay.middleware.runtime import Runtime

HOUR_S = 3_600.0
MANY = 500


class Kept:
    """An expiry policy with one lifetime, that keeps what it is taught, and renews where it is told to."""

    def __init__(self, lifetime: Lifetime, renewed_s: float | None = None) -> None:
        self._lifetime = lifetime
        self._renewed_s = renewed_s
        self.learned: list[Revision] = []

    def lifetime(self, request: Any, facts: Any, answer: Any) -> Lifetime:
        return self._lifetime

    def renewed_s(self, entry: Entry, now_s: float) -> float | None:
        return None if self._renewed_s is None else now_s + self._renewed_s

    def learn(self, revision: Revision) -> None:
        self.learned.append(revision)

    def report(self) -> Sequence[JsonObject]:
        return [{"learned": len(self.learned)}]

    def snapshot(self) -> JsonObject:
        return {"learned": len(self.learned)}

    def restore(self, state: JsonObject) -> None:
        self.learned = [Revision("", 0.0, changed=False)] * state["learned"]


@asynccontextmanager
async def rig(
    behind: ScriptedEngine | None,
    *,
    grace_s: float = HOUR_S,
    error_grace_s: float = 0.0,
    spy: Spy | None = None,
    expiry: Kept | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Runtime]:
    """Run with an engine for background calls, or without."""
    given = Given(expiry=expiry or Kept(Lifetime(HOUR_S, grace_s, error_grace_s)))
    merged = {**(settings or {}), **given.settings}
    async with started(merged, given, *([] if spy is None else [spy])) as runtime:
        if behind is not None:
            runtime.call_behind(behind)
        yield runtime


async def aged(runtime: Runtime, expired_s: float = 1.0) -> None:
    """Let all that is kept have expired so long ago."""
    keeper, now_s = runtime.keeper, time.time()
    for entry in [entry async for entry in keeper.scan(Selector())]:
        await keeper.store.put(replace(entry, created_s=now_s - 2 * HOUR_S, expires_s=now_s - expired_s))


async def refreshed(runtime: Runtime) -> None:
    await settled(runtime)
    await runtime.refresher.drain(10.0)
    await settled(runtime)


async def test_a_stale_answer_is_served_at_once_and_computed_anew_behind_it() -> None:
    behind = ScriptedEngine(["new"])
    async with rig(behind) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        front = ScriptedEngine(["not asked"])
        stale = await ask(runtime, QUESTION, engine=front)
        await refreshed(runtime)
        fresh = await ask(runtime, QUESTION, engine=front)
        assert (stale.status, text_of(stale)) == (CacheStatus.STALE, "old")
        assert (fresh.status, text_of(fresh)) == (CacheStatus.EXACT, "new")
        assert len(behind.calls) == 1
        assert front.calls == []
        assert await stored(runtime) == 1


async def test_beyond_its_grace_nothing_is_served() -> None:
    async with rig(ScriptedEngine(["behind"]), grace_s=10.0) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime, expired_s=11.0)
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["new"]))
        assert (reply.status, text_of(reply)) == (CacheStatus.MISS, "new")


@pytest.mark.parametrize(
    "controls",
    [Controls(max_stale_s=0.5), Controls(max_age_s=60.0), Controls(no_store=True), Controls(no_cache=True)],
    ids=["max-stale", "max-age", "no-store", "no-cache"],
)
async def test_a_caller_who_wants_no_stale_answer_gets_none(controls: Controls) -> None:
    async with rig(ScriptedEngine(["behind"])) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["new"]), controls=controls)
        assert (reply.status, text_of(reply)) == (CacheStatus.MISS, "new")


async def test_a_similar_questions_stale_answer_is_served_and_replaced() -> None:
    behind = ScriptedEngine(["new"])
    async with rig(behind, settings=SEMANTIC) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        front = ScriptedEngine(["not asked"])
        stale = await ask(runtime, SIMILAR, engine=front)
        await refreshed(runtime)
        fresh = await ask(runtime, SIMILAR, engine=front)
        again = await ask(runtime, QUESTION, engine=front)
        assert (stale.status, text_of(stale)) == (CacheStatus.STALE, "old")
        assert (fresh.status, text_of(fresh)) == (CacheStatus.EXACT, "new")
        assert (again.status, text_of(again)) == (CacheStatus.SEMANTIC, "new")
        assert await stored(runtime) == 1
        assert len(behind.calls) == 1


async def test_a_fresh_neighbour_is_served_before_a_stale_one() -> None:
    async with rig(ScriptedEngine(["behind"]), settings=SEMANTIC) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        runtime.background = None  # so that this one is computed, and kept beside the stale one
        await ask(runtime, SIMILAR, engine=ScriptedEngine(["fresh"]))
        reply = await ask(runtime, f"{SIMILAR} Thanks!", engine=ScriptedEngine(["not asked"]))
        assert (reply.status, text_of(reply)) == (CacheStatus.SEMANTIC, "fresh")


async def test_where_nobody_calls_behind_the_first_computes_and_the_others_are_served_the_stale_answer() -> None:
    gate = asyncio.Event()
    async with rig(None) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        engine = ScriptedEngine(["new"], gate=gate)
        first = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine))
        await until(lambda: engine.running == 1)
        others = [await runtime.pipeline.handle(chat(QUESTION), engine) for _ in range(3)]
        gate.set()
        led = await first
        await settled(runtime)
        after = await ask(runtime, QUESTION, engine=engine)
        assert [(reply.status, text_of(reply)) for reply in others] == 3 * [(CacheStatus.STALE, "old")]
        assert (led.status, text_of(led)) == (CacheStatus.MISS, "new")
        assert (after.status, text_of(after)) == (CacheStatus.EXACT, "new")
        assert len(engine.calls) == 1


@pytest.mark.parametrize("grace_s", [HOUR_S, 0.0], ids=["with a grace", "without"])
@pytest.mark.parametrize("behind", [True, False], ids=["calls behind", "no calls behind"])
async def test_many_at_once_on_an_entry_that_has_expired_cost_one_call(grace_s: float, *, behind: bool) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["new"], gate=gate)
    expiry = Kept(Lifetime(HOUR_S, grace_s))
    async with rig(engine if behind else None, expiry=expiry) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        asked = [asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine)) for _ in range(MANY)]
        await until(lambda: engine.running == 1)
        gate.set()
        replies = await asyncio.gather(*asked)
        await refreshed(runtime)
        assert len(engine.calls) == 1
        allowed = {CacheStatus.STALE: "old", CacheStatus.MISS: "new", CacheStatus.INFLIGHT: "new"}
        assert all(text_of(reply) == allowed[reply.status] for reply in replies)
        if grace_s and behind:
            assert {reply.status for reply in replies} == {CacheStatus.STALE}


async def test_a_refresh_that_fails_is_not_repeated_at_once() -> None:
    behind = ScriptedEngine([EngineError("down", status=503)])
    async with rig(behind) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        for _ in range(3):
            reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
            await refreshed(runtime)
            assert (reply.status, text_of(reply)) == (CacheStatus.STALE, "old")
        assert len(behind.calls) == 1
        assert runtime.telemetry.counts["forebay.cache.refreshes", "outcome=failed"] == 1


async def test_what_is_forgotten_while_it_is_computed_anew_is_not_kept() -> None:
    gate = asyncio.Event()
    behind = ScriptedEngine(["new"], gate=gate)
    async with rig(behind) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
        await until(lambda: behind.running == 1)
        await runtime.workers.forget(Selector(model="test-model"))
        gate.set()
        await refreshed(runtime)
        assert await stored(runtime) == 0


async def test_the_policy_learns_whether_an_answer_still_held() -> None:
    expiry = Kept(Lifetime(HOUR_S, HOUR_S))
    behind = ScriptedEngine(["It is 4.", "It is 5."])
    async with rig(behind, expiry=expiry) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["It is 4."]))
        for _ in range(2):
            await aged(runtime)
            await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
            await refreshed(runtime)
        assert [(revision.kind, revision.changed) for revision in expiry.learned] == [
            ("timeless", False),
            ("timeless", True),
        ]
        assert expiry.learned[0].age_s == pytest.approx(2 * HOUR_S, abs=60.0)


async def test_the_policy_learns_from_what_is_computed_in_line_too_and_remembers_it() -> None:
    expiry = Kept(Lifetime(HOUR_S, HOUR_S))
    async with rig(None, expiry=expiry) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["It is 4."]))
        await aged(runtime)
        await ask(runtime, QUESTION, engine=ScriptedEngine(["It is 5."]))
        await refreshed(runtime)
        assert [revision.changed for revision in expiry.learned] == [True]
        assert runtime.state.flush()
        assert runtime.state.load("expiry") == {"learned": 1}


@pytest.mark.parametrize("error", [EngineError("down", status=503), EngineError("gone")])
async def test_an_old_answer_stands_in_for_an_engine_that_fails(error: EngineError) -> None:
    spy = Spy()
    async with rig(None, grace_s=0.0, error_grace_s=HOUR_S, spy=spy) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine([error]))
        assert (reply.status, text_of(reply)) == (CacheStatus.STALE, "old")
        assert ("run", "stale_if_error") in [(decision.stop, decision.choice) for decision in spy.decisions]


@pytest.mark.parametrize(
    ("error", "expired_s"), [(EngineError("wrong", status=400), 1.0), (EngineError("down", status=503), 2 * HOUR_S)]
)
async def test_it_does_not_where_the_request_is_at_fault_or_the_answer_too_old(
    error: EngineError, expired_s: float
) -> None:
    async with rig(None, grace_s=0.0, error_grace_s=HOUR_S) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime, expired_s)
        with pytest.raises(EngineError):
            await ask(runtime, QUESTION, engine=ScriptedEngine([error]))


async def test_it_stands_in_for_a_full_queue_too() -> None:
    gate = asyncio.Event()
    limits: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with rig(None, grace_s=0.0, error_grace_s=HOUR_S, settings=limits) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        busy = ScriptedEngine(["other"], gate=gate)
        other = asyncio.create_task(runtime.pipeline.handle(chat("Something else"), busy))
        await until(lambda: busy.running == 1)
        reply = await ask(runtime, QUESTION, engine=busy)
        with pytest.raises(ShedError):
            await ask(runtime, "Nothing old of this", engine=busy)
        gate.set()
        await other
        assert (reply.status, text_of(reply)) == (CacheStatus.STALE, "old")


async def test_what_was_forgotten_meanwhile_stands_in_for_nothing() -> None:
    class Forgetting(ScriptedEngine):
        async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
            await runtime.workers.forget(Selector(model="test-model"))
            return await super().complete(request, headers)

    async with rig(None, grace_s=0.0, error_grace_s=HOUR_S) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        await aged(runtime)
        with pytest.raises(EngineError):
            await ask(runtime, QUESTION, engine=Forgetting([EngineError("down", status=503)]))


async def test_what_is_used_lives_on_where_the_policy_says_so() -> None:
    expiry = Kept(Lifetime(60.0), renewed_s=HOUR_S)
    async with rig(None, expiry=expiry) as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
        (entry,) = [entry async for entry in runtime.keeper.scan(Selector())]
        assert reply.status is CacheStatus.EXACT
        assert entry.expires_s - time.time() == pytest.approx(HOUR_S, abs=60.0)
