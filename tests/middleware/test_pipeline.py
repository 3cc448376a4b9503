"""Requests from end to end: hits, misses, twins, refusals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.flight import Flight
from forebay.middleware.modes import KILL_FILE
from forebay.middleware.records import Controls, Ending, Entry, Mode
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.parts import AtMost, Given, Spy, settled, until

if TYPE_CHECKING:
    from forebay.middleware.pipeline import Reply
    from forebay.middleware.records import Request
    from forebay.middleware.runtime import Runtime

SEMANTIC = {"cache": {"semantic": "serve"}, "acceptance": {"type": "threshold", "threshold": 0.5}}
QUESTION = "What is a forebay?"
SIMILAR = "What is a forebay, please?"


def text_of(reply: Reply) -> str:
    assert reply.body is not None
    return str(reply.body["choices"][0]["message"]["content"])


async def read(reply: Reply) -> list[Any]:
    assert reply.chunks is not None
    return [chunk async for chunk in reply.chunks]


def text_in(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def ask(runtime: Runtime, *texts: str, engine: ScriptedEngine | None = None, **params: Any) -> Reply:
    """Send a request, whole, and let it settle."""
    reply = await runtime.pipeline.handle(chat(*texts, **params), engine or ScriptedEngine(["fresh"]))
    await settled(runtime)
    return reply


async def stored(runtime: Runtime) -> int:
    return await runtime.keeper.store.count()


# --- hits ---------------------------------------------------------------------------------------------------------


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


async def test_by_default_a_semantic_hit_is_only_shadowed() -> None:
    spy = Spy()
    settings = {"acceptance": SEMANTIC["acceptance"]}
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


# --- modes and controls -------------------------------------------------------------------------------------------


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
        statuses = []
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
        kept = runtime.keeper._clock
        monkeypatch.setattr(runtime.keeper, "_clock", lambda: kept() + 59.0)
        assert (await ask(runtime, QUESTION)).status == "exact"
        monkeypatch.setattr(runtime.keeper, "_clock", lambda: kept() + 61.0)
        assert (await ask(runtime, QUESTION, controls=Controls(no_store=True))).status == "miss"
        assert (await ask(runtime, SIMILAR, controls=Controls(no_store=True))).status == "miss"


# --- streams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [True, False])
async def test_a_stream_is_kept_and_answers_a_whole_request(usage: bool) -> None:
    async with started() as runtime:
        engine = ScriptedEngine(["one two three"])
        first = await ask(runtime, QUESTION, engine=engine, stream=True, stream_options={"include_usage": usage})
        assert text_in(await read(first)) == "one two three"
        await settled(runtime)
        second = await ask(runtime, QUESTION, engine=engine)
        assert (first.status, second.status, text_of(second)) == ("miss", "exact", "one two three")
        assert len(engine.calls) == 1


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}, {"stream_options": "odd"}])
async def test_a_whole_answer_answers_a_stream(options: dict[str, Any]) -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["one two three"]))
        reply = await ask(runtime, QUESTION, stream=True, **options)
        chunks = await read(reply)
        assert (reply.status, text_in(chunks)) == ("exact", "one two three")
        assert ("usage" in chunks[-1]) is (options.get("stream_options") == {"include_usage": True})


async def test_a_stream_that_is_closed_early_is_not_kept_and_gives_its_lease_back() -> None:
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["one two three"]), stream=True)
        assert reply.chunks is not None
        await anext(reply.chunks)
        assert runtime.pipeline.gate.load.inflight == 1
        await reply.chunks.aclose()
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == 0
        assert await stored(runtime) == 0
        assert runtime.pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.CANCELLED]


class Stream(ScriptedEngine):
    """Sends these chunks, then raises."""

    def __init__(self, chunks: list[Any], error: Exception | None = None, *, at_close: bool = False) -> None:
        super().__init__()
        self.chunks = chunks
        self.error = error
        self.at_close = at_close

    async def stream(self, request: Request, headers: Any) -> Any:
        try:
            for chunk in self.chunks:
                yield chunk
            if self.error is not None and not self.at_close:
                raise self.error
        finally:
            if self.error is not None and self.at_close:
                raise self.error


def piece(content: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


async def test_a_stream_that_fails_is_not_kept() -> None:
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        reply = await ask(runtime, QUESTION, engine=Stream([piece("half")], EngineError("gone")), stream=True)
        with pytest.raises(EngineError, match="gone"):
            await read(reply)
        await settled(runtime)
        assert await stored(runtime) == 0
        assert runtime.pipeline.gate.load.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.FAILED]


async def test_a_stream_that_ends_without_a_finish_reason_is_not_kept() -> None:
    async with started() as runtime:
        reply = await ask(runtime, QUESTION, engine=Stream([piece("half")]), stream=True)
        assert text_in(await read(reply)) == "half"
        await settled(runtime)
        assert await stored(runtime) == 0


@pytest.mark.parametrize("odd", [{"choices": [None]}, {"choices": 7}, {"choices": [{"index": "x", "delta": {}}]}])
async def test_a_chunk_that_cannot_be_read_goes_to_the_caller_and_nothing_is_kept(odd: dict[str, Any]) -> None:
    async with started() as runtime:
        chunks = [piece("one "), odd, piece("two", "stop")]
        reply = await ask(runtime, QUESTION, engine=Stream(chunks), stream=True)
        assert await read(reply) == chunks
        await settled(runtime)
        assert await stored(runtime) == 0


async def test_an_engine_that_fails_while_it_is_closed_still_gives_the_lease_back() -> None:
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = Stream([piece("one"), piece("two", "stop")], ValueError("odd"), at_close=True)
        reply = await ask(runtime, QUESTION, engine=engine, stream=True)
        assert reply.chunks is not None
        await anext(reply.chunks)
        with pytest.raises(ValueError, match="odd"):
            await reply.chunks.aclose()
        assert runtime.pipeline.gate.load.inflight == 0
        assert runtime.pipeline.inflight == 0


# --- what is kept -------------------------------------------------------------------------------------------------


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


# --- twins --------------------------------------------------------------------------------------------------------


async def together(runtime: Runtime, engine: ScriptedEngine, many: int, **params: Any) -> list[asyncio.Task[Reply]]:
    """Start equal requests and wait until one computes and the others follow it."""
    tasks = [
        asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, **params), engine), name=f"r{at}")
        for at in range(many)
    ]
    await until(lambda: engine.running == 1 and len(followers(runtime)) == many - 1)
    return tasks


def followers(runtime: Runtime) -> list[str]:
    groups = runtime.pipeline._stops.twins._groups.values()
    return [name for group in groups for name in group.followers]


async def test_equal_requests_in_flight_share_one_computation() -> None:
    gate = asyncio.Event()
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 20)
        assert runtime.pipeline.gate.load.queued == 0
        gate.set()
        replies = await asyncio.gather(*tasks)
        await settled(runtime)
        assert len(engine.calls) == 1
        assert len({id(reply) for reply in replies}) == 20
        assert all(reply.body == replies[0].body for reply in replies)
        assert sorted(reply.status for reply in replies) == ["inflight"] * 19 + ["miss"]
        assert await stored(runtime) == 1
        assert runtime.pipeline.inflight == 0
    assert len(spy.finished) == 20


async def test_a_stream_follows_a_whole_request() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(["one two"], gate=gate)
        (leader,) = await together(runtime, engine, 1)
        follower = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, stream=True), engine))
        await until(lambda: followers(runtime))
        gate.set()
        assert text_in(await read(await follower)) == text_of(await leader) == "one two"
        assert len(engine.calls) == 1


async def test_a_leader_whose_caller_left_hands_over() -> None:
    gate = asyncio.Event()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 5)
        leader = next(task for task in tasks if task.get_name() == "r0")
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await until(lambda: len(engine.calls) == 2)
        gate.set()
        replies = await asyncio.gather(*tasks[1:])
        assert len(engine.calls) == 2
        assert sorted(reply.status for reply in replies) == ["inflight"] * 3 + ["miss"]
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == 0


async def test_a_leader_that_fails_lets_the_others_run_on_their_own() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine([EngineError("down"), "ok"], gate=gate)
        tasks = await together(runtime, engine, 4)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        assert [type(error) for error in errors] == [EngineError]
        assert len(engine.calls) == 4
        assert {text_of(result) for result in results if not isinstance(result, BaseException)} == {"ok"}


async def test_an_answer_that_may_not_be_kept_is_not_shared() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine([completion("cut", finish_reason="length"), "whole"], gate=gate)
        tasks = await together(runtime, engine, 3)
        gate.set()
        replies = await asyncio.gather(*tasks)
        assert sorted(text_of(reply) for reply in replies) == ["cut", "whole", "whole"]


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = await together(runtime, engine, 3)
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        gate.set()
        assert [(await tasks[at]).status for at in (0, 2)] == ["miss", "inflight"]
        await settled(runtime)
        assert runtime.pipeline.inflight == 0


@pytest.mark.parametrize(
    "settings", [{"cache": {"twins": False}}, {"cache": {"exact": "shadow"}}, {"mode": "shadow"}, {"mode": "off"}]
)
async def test_where_hits_are_not_served_nobody_waits_for_a_twin(settings: dict[str, Any]) -> None:
    gate = asyncio.Event()
    async with started(settings) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine)) for _ in range(3)]
        await until(lambda: engine.running == 3)
        gate.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("controls", [Controls(no_cache=True), Controls(no_store=True), Controls(bypass=True)])
async def test_who_wants_an_answer_of_his_own_gets_one(controls: Controls) -> None:
    gate = asyncio.Event()
    async with started() as runtime:
        engine = ScriptedEngine(gate=gate)
        (leader,) = await together(runtime, engine, 1)
        other = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION, controls=controls), engine))
        await until(lambda: engine.running == 2)
        gate.set()
        await asyncio.gather(leader, other)


async def test_a_follower_does_not_wait_for_ever() -> None:
    gate = asyncio.Event()
    async with started({"cache": {"twin_wait_s": 0.02}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        (leader,) = await together(runtime, engine, 1)
        follower = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), engine))
        await until(lambda: engine.running == 2)
        gate.set()
        assert [(await task).status for task in (leader, follower)] == ["miss", "miss"]


# --- admission ----------------------------------------------------------------------------------------------------


async def test_the_limit_holds() -> None:
    gate = asyncio.Event()
    async with started({"limit": {"type": "fixed", "max_inflight": 3}}) as runtime:
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(12)]
        await until(lambda: runtime.pipeline.gate.load.queued == 9)
        gate.set()
        await asyncio.gather(*tasks)
        await settled(runtime)
        assert engine.most_running == 3
        assert runtime.pipeline.gate.load.inflight == 0


async def test_a_full_queue_sheds_and_a_hit_is_served_all_the_same() -> None:
    gate = asyncio.Event()
    spy = Spy()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 1}}
    async with started(settings, spy) as runtime:
        await ask(runtime, QUESTION)
        engine = ScriptedEngine(gate=gate)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(2)]
        await until(lambda: runtime.pipeline.gate.load.queued == 1)
        with pytest.raises(ShedError) as raised:
            await runtime.pipeline.handle(chat("one too many"), engine)
        assert (raised.value.status, raised.value.reason) == (429, "queue_full")
        assert (await runtime.pipeline.handle(chat(QUESTION), engine)).status == "exact"
        gate.set()
        await asyncio.gather(*tasks)
        await settled(runtime)
        assert runtime.telemetry.counts["forebay.requests.shed", "reason=queue_full"] == 1
    shed = next(finished for finished in spy.finished if finished.status == "shed")
    assert shed.decisions[-2].reason == "queue_full"
    assert shed.ending is Ending.FAILED


async def test_who_could_not_even_wait_is_refused_right_after_the_lookup() -> None:
    gate = asyncio.Event()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with started(settings) as runtime:
        pipeline = runtime.pipeline
        engine = ScriptedEngine(gate=gate)
        running = asyncio.create_task(pipeline.handle(chat(QUESTION), engine))
        await until(lambda: engine.running)

        async def looked_up(text: str, **params: Any) -> Flight:
            flight = pipeline.begin(chat(text, **params))
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
            return flight

        other = await looked_up("another")
        with pytest.raises(ShedError):
            pipeline.check_room(other)
        assert other.status == "shed"
        twin = await looked_up(QUESTION)
        pipeline.check_room(twin)  # it will follow, and needs no place
        passing = await looked_up("another", controls=Controls(bypass=True))
        pipeline.check_room(passing)
        for flight in (other, twin, passing):
            pipeline.finish(flight, Ending.FAILED)
        gate.set()
        await running


async def test_a_wait_that_takes_too_long_sheds() -> None:
    plugin = Given(limit=AtMost(0))
    async with started({**plugin.settings, "admission": {"queue_timeout_s": 0.01}}, plugin) as runtime:
        with pytest.raises(ShedError) as raised:
            await ask(runtime, QUESTION)
        assert raised.value.reason == "queue_timeout"
        assert runtime.pipeline.gate.load.queued == 0


async def test_who_leaves_while_waiting_is_forgotten() -> None:
    spy = Spy()
    plugin = Given(limit=AtMost(0))
    async with started(plugin.settings, plugin, spy) as runtime:
        task = asyncio.create_task(runtime.pipeline.handle(chat(QUESTION), ScriptedEngine()))
        await until(lambda: runtime.pipeline.gate.load.queued == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(runtime)
        assert runtime.pipeline.gate.load.queued == 0
        assert runtime.pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.CANCELLED]


# --- endings ------------------------------------------------------------------------------------------------------


async def test_a_flight_that_nobody_closes_is_closed_by_its_deadline() -> None:
    spy = Spy()
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "litellm": {"flight_deadline_s": 0.01}}
    async with started(settings, spy) as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        pipeline.enter(flight)
        assert pipeline.gate.load.inflight == 1
        await until(lambda: flight.settled.is_set())
        assert flight.ending is Ending.ABANDONED
        assert pipeline.gate.load.inflight == 0
        pipeline.finish(flight, Ending.COMPLETE)  # too late
        await settled(runtime)
        assert await stored(runtime) == 0
        assert pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.ABANDONED]


async def test_a_twin_takes_over_from_a_flight_that_was_abandoned() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        follower = asyncio.create_task(pipeline.handle(chat(QUESTION), ScriptedEngine(["by the twin"])))
        await until(lambda: followers(runtime))
        pipeline.finish(flight, Ending.ABANDONED)
        assert text_of(await follower) == "by the twin"


async def test_a_callers_deadline_is_the_flights() -> None:
    from dataclasses import replace

    async with started() as runtime:
        flight = runtime.pipeline.begin(replace(chat(QUESTION), deadline_s=0.01))
        await until(lambda: flight.ending)
        assert flight.ending is Ending.ABANDONED


async def test_the_stops_may_be_called_again() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        assert pipeline.analyze(flight) is pipeline.analyze(flight)
        assert await pipeline.lookup(flight) is await pipeline.lookup(flight)
        for _ in range(3):  # attempts
            assert await pipeline.admit(flight) is None
            pipeline.enter(flight)
        assert pipeline.gate.load.inflight == 1
        for ending in (Ending.COMPLETE, Ending.FAILED):
            pipeline.finish(flight, ending)
        await settled(runtime)
        assert pipeline.gate.load.inflight == 0
        assert flight.ending is Ending.COMPLETE
        assert [decision.stop for decision in flight.decisions].count("analyze") == 1


async def test_an_answer_may_come_a_moment_after_the_end() -> None:
    async with started() as runtime:
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        await pipeline.admit(flight)
        pipeline.finish(flight, Ending.COMPLETE)
        await asyncio.sleep(0)
        assert flight.answered(await ScriptedEngine(["late"]).complete(flight.request, {}))
        await settled(runtime)
        assert text_of(await ask(runtime, QUESTION)) == "late"


async def test_an_edited_request_keeps_nothing() -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["old"]))
        pipeline = runtime.pipeline
        flight = pipeline.begin(chat(QUESTION))
        pipeline.analyze(flight)
        await pipeline.lookup(flight)
        flight.withdrawn("edited")
        assert await pipeline.admit(flight) is None
        flight.answered(await ScriptedEngine(["edited"]).complete(flight.request, {}))
        pipeline.finish(flight, Ending.COMPLETE)
        await settled(runtime)
        assert text_of(await ask(runtime, QUESTION)) == "old"


class SlowStore(MemoryStore):
    """Writes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.resume = asyncio.Event()
        self.writing = False

    async def put(self, entry: Entry) -> None:
        self.writing = True
        await self.resume.wait()
        await super().put(entry)


async def test_nobody_waits_for_the_keeping_and_draining_does() -> None:
    store = SlowStore()
    plugin = Given(store=store)
    async with started(plugin.settings, plugin) as runtime:
        reply = await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine(["fresh"]))
        assert text_of(reply) == "fresh"
        await until(lambda: store.writing)
        drain = asyncio.create_task(runtime.pipeline.drain(10.0))
        await asyncio.sleep(0)
        assert not drain.done()
        store.resume.set()
        await drain
        assert await stored(runtime) == 1


async def test_draining_gives_up_after_its_time() -> None:
    store = SlowStore()
    plugin = Given(store=store)
    async with started(plugin.settings, plugin) as runtime:
        await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine())
        await until(lambda: store.writing)
        await runtime.pipeline.drain(0.01)
        assert not runtime.pipeline._settling
        assert await stored(runtime) == 0


async def test_a_mode_is_fixed_when_a_flight_begins() -> None:
    async with started() as runtime:
        flight = runtime.pipeline.begin(chat(QUESTION))
        (runtime.state_dir / KILL_FILE).touch()
        assert flight.mode is Mode.SERVE
        runtime.pipeline.finish(flight, Ending.FAILED)
