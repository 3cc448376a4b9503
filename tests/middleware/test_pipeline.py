"""Requests from end to end: hits and misses, modes and controls, and what is kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from forebay.middleware.errors import EngineError
from forebay.middleware.modes import KILL_FILE
from forebay.middleware.records import Controls, Ending
from forebay.testing import ScriptedEngine, completion, started
from tests.middleware.asking import QUESTION, SEMANTIC, SIMILAR, ask, read, stored, text_of
from tests.middleware.parts import AtMost, Given, Spy, settled, until


async def test_a_miss_is_kept_and_the_next_equal_request_is_an_exact_hit() -> None:
    async with started() as runtime:
        engine = ScriptedEngine(["one", "two"])
        first = await ask(runtime, QUESTION, engine=engine)
        second = await ask(runtime, QUESTION, engine=engine)
        assert (first.status, second.status) == ("miss", "exact")
        assert second.body == first.body
        assert second.request_id != first.request_id
        assert len(engine.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "other"},
        {"model": "other"},
        {"system": "Be brief."},
        {"temperature": 0.2},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_what_differs_in_scope_shares_nothing(other: dict[str, Any]) -> None:
    async with started(SEMANTIC) as runtime:
        await ask(runtime, QUESTION)
        assert (await ask(runtime, QUESTION, **other)).status == "miss"


async def test_the_same_words_in_another_conversation_are_another_question() -> None:
    async with started(SEMANTIC) as runtime:
        await ask(runtime, "Tell me about Ada.", "A mathematician.", "When was she born?")
        reply = await ask(runtime, "Tell me about Grace.", "An admiral.", "When was she born?")
        assert reply.status == "miss"


async def test_a_similar_question_is_a_semantic_hit_where_that_is_served() -> None:
    spy = Spy()
    async with started(SEMANTIC, spy) as runtime:
        first = await ask(runtime, QUESTION)
        engine = ScriptedEngine(["another"])
        second = await ask(runtime, SIMILAR, engine=engine)
        assert second.status == "semantic"
        assert second.body == first.body
        assert engine.calls == []
    verify = next(decision for decision in spy.finished[1].decisions if decision.stop == "verify")
    assert verify.choice == "accept"
    assert 0.5 <= verify.detail["similarity"] < 1.0


async def test_a_semantic_hit_may_be_only_shadowed() -> None:
    spy = Spy()
    settings = {**SEMANTIC, "cache": {"semantic": "shadow"}}
    async with started(settings, spy) as runtime:
        await ask(runtime, QUESTION)
        reply = await ask(runtime, SIMILAR, engine=ScriptedEngine(["computed"]))
        assert (reply.status, text_of(reply)) == ("shadow", "computed")
        assert (await ask(runtime, SIMILAR)).status == "exact"  # and it is kept for its own words
    lookup = next(decision for decision in spy.finished[1].decisions if decision.stop == "lookup")
    assert (lookup.choice, lookup.reason, lookup.detail["tier"]) == ("shadow_hit", "shadow", "semantic")


async def test_without_semantic_hits_nothing_is_embedded() -> None:
    async with started({"cache": {"semantic": "off"}, "embedder": {"type": "no such thing"}}) as runtime:
        await ask(runtime, QUESTION)
        assert (await ask(runtime, SIMILAR)).status == "miss"
        assert (await ask(runtime, QUESTION)).status == "exact"


class CountingEmbedder:
    """One direction for all texts; counts what it is asked."""

    model_id = "one@1"
    dimension = 2

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error

    async def embed(self, texts: Any) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [(1.0, 0.0) for _ in texts]


async def test_where_a_scope_holds_nothing_the_engine_is_not_kept_waiting_for_an_embedding() -> None:
    embedder = CountingEmbedder()
    plugin = Given(embedder=embedder)
    gate = asyncio.Event()
    async with started({**SEMANTIC, **plugin.settings}, plugin) as runtime:
        engine = ScriptedEngine(gate=gate)
        task = asyncio.create_task(ask(runtime, QUESTION, engine=engine))
        await until(lambda: engine.running)
        assert embedder.asked == 0
        gate.set()
        await task
        assert embedder.asked == 1  # for keeping it
        await ask(runtime, SIMILAR)
        assert embedder.asked == 2  # looked up, and the same vector kept


async def test_in_shadow_mode_it_decides_and_never_acts() -> None:
    spy = Spy()
    plugin = Given(limit=AtMost(0))
    async with started({**SEMANTIC, **plugin.settings, "mode": "shadow"}, plugin, spy) as runtime:
        engine = ScriptedEngine(["one", "two", "three"])
        replies = [await ask(runtime, text, engine=engine) for text in (QUESTION, QUESTION, SIMILAR)]
        assert [text_of(reply) for reply in replies] == ["one", "two", "three"]
        assert [reply.status for reply in replies] == ["miss", "shadow", "shadow"]
        assert runtime.pipeline.gate.load.inflight == 0
    tiers = [
        decision.detail.get("tier")
        for finished in spy.finished
        for decision in finished.decisions
        if decision.stop == "lookup"
    ]
    assert tiers == [None, "exact", "semantic"]
    assert len(spy.stored) == 3


async def test_switched_off_it_does_nothing() -> None:
    spy = Spy()
    plugin = Given(limit=AtMost(0))
    async with started({**plugin.settings, "mode": "off"}, plugin, spy) as runtime:
        for _ in range(2):
            assert (await ask(runtime, QUESTION)).status == "bypass"
        assert await stored(runtime) == 0
    assert [finished.miss_reason for finished in spy.finished] == ["bypass"] * 2


async def test_bypass_takes_no_part_in_one_request() -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION)
        engine = ScriptedEngine(["computed"])
        reply = await ask(runtime, QUESTION, engine=engine, controls=Controls(bypass=True))
        assert (reply.status, text_of(reply)) == ("bypass", "computed")
        assert text_of(await ask(runtime, QUESTION)) == "fresh"  # what was kept before


async def test_the_kill_switch_works_without_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started() as runtime:
        now = [1000.0]
        monkeypatch.setattr(runtime.modes, "_clock", lambda: now[0])
        await ask(runtime, QUESTION)
        now[0] += 2.0
        (runtime.state_dir / KILL_FILE).touch()
        assert (await ask(runtime, QUESTION)).status == "bypass"
        now[0] += 2.0
        (runtime.state_dir / KILL_FILE).unlink()
        assert (await ask(runtime, QUESTION)).status == "exact"


async def test_rules_choose_by_tenant() -> None:
    rules = [{"tenant": "a", "mode": "serve"}, {"tenant": "b", "mode": "shadow"}, {"mode": "off"}]
    async with started({"rules": rules}) as runtime:
        statuses: list[str] = []
        for tenant in "abc":
            await ask(runtime, QUESTION, tenant=tenant)
            statuses.append((await ask(runtime, QUESTION, tenant=tenant)).status)
        assert statuses == ["exact", "shadow", "bypass"]


async def test_no_cache_computes_anew_and_keeps_the_new_answer() -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["new"]), controls=Controls(no_cache=True))
        assert (reply.status, text_of(reply)) == ("miss", "new")
        assert text_of(await ask(runtime, QUESTION)) == "new"


async def test_no_store_answers_from_the_cache_and_keeps_nothing() -> None:
    async with started() as runtime:
        quiet = Controls(no_store=True)
        assert (await ask(runtime, QUESTION, controls=quiet)).status == "miss"
        assert await stored(runtime) == 0
        await ask(runtime, QUESTION)
        assert (await ask(runtime, QUESTION, controls=quiet)).status == "exact"


@pytest.mark.parametrize(("ttl_s", "lifetime_s"), [(5.0, 5.0), (1e9, 60.0), (None, 60.0)])
async def test_a_caller_may_shorten_the_lifetime(ttl_s: float | None, lifetime_s: float) -> None:
    spy = Spy()
    async with started({"expiry": {"type": "fixed", "ttl_s": 60}}, spy) as runtime:
        await ask(runtime, QUESTION, controls=Controls(ttl_s=ttl_s))
        entry = await runtime.keeper.store.get(spy.stored[0].entry_id)
        assert entry is not None
        assert entry.expires_s - entry.created_s == pytest.approx(lifetime_s)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan")])
async def test_a_lifetime_of_nothing_keeps_nothing(ttl_s: float) -> None:
    spy = Spy()
    async with started(None, spy) as runtime:
        await ask(runtime, QUESTION, controls=Controls(ttl_s=ttl_s))
        assert await stored(runtime) == 0
    assert spy.finished[0].decisions[-1].reason == "no_lifetime"


async def test_an_expired_entry_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started({**SEMANTIC, "expiry": {"type": "fixed", "ttl_s": 60}}) as runtime:
        await ask(runtime, QUESTION)
        monkeypatch.setattr(runtime.keeper, "_clock", lambda: time.time() + 59.0)
        assert (await ask(runtime, QUESTION)).status == "exact"
        monkeypatch.setattr(runtime.keeper, "_clock", lambda: time.time() + 61.0)
        assert (await ask(runtime, QUESTION, controls=Controls(no_store=True))).status == "miss"
        assert (await ask(runtime, SIMILAR, controls=Controls(no_store=True))).status == "miss"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["length", "content_filter", "odd"])
async def test_only_a_clean_end_is_kept(reason: str, stream: bool) -> None:
    async with started() as runtime:
        engine = ScriptedEngine([completion("cut", finish_reason=reason)])
        reply = await ask(runtime, QUESTION, engine=engine, stream=stream)
        if stream:
            await read(reply)
            await settled(runtime)
        assert await stored(runtime) == 0


async def test_an_engine_error_passes_through_and_nothing_is_kept() -> None:
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        for error in (EngineError("down", status=503), ValueError("odd")):
            with pytest.raises(type(error)) as raised:
                await ask(runtime, QUESTION, engine=ScriptedEngine([error]))
            assert raised.value is error
        await settled(runtime)
        assert await stored(runtime) == 0
        assert runtime.pipeline.gate.load.inflight == 0
        assert (await ask(runtime, QUESTION)).status == "miss"
    assert [finished.ending for finished in spy.finished] == [Ending.FAILED, Ending.FAILED, Ending.COMPLETE]


async def test_what_is_kept_says_what_it_cost_and_whose_it_is_without_naming_them() -> None:
    spy = Spy()
    async with started(SEMANTIC, spy) as runtime:
        await ask(runtime, QUESTION, tenant="acme")
        entry = await runtime.keeper.store.get(spy.stored[0].entry_id)
        assert entry is not None
        assert (entry.cost, entry.model, entry.question) == (10.0, "test-model", QUESTION)
        assert "acme" not in entry.tenant
        assert entry.tenant == runtime.keyring.digest("tenant", "acme")
        assert entry.embedder == "hashing/1/256"
        assert entry.vector is not None
