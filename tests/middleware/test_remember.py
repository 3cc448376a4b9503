"""`Pipeline.remember`: an answer that was computed elsewhere is kept as one of ours would be, and is no request."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.chat import answer_of
from forebay.middleware.errors import StoreError
from forebay.middleware.records import EVERYTHING, Answer, Controls, Request, Selector
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import QUESTION, SEMANTIC, SIMILAR, ask, stored, text_of
from tests.middleware.parts import Spy, settled

if TYPE_CHECKING:
    from forebay.middleware.records import Entry
    from forebay.middleware.runtime import Runtime

DAY_S = 86_400.0
OLD = answer_of(completion("old"))


async def kept(runtime: Runtime) -> Entry:
    (entry,) = [each async for each in runtime.keeper.scan(EVERYTHING)]
    return entry


async def test_it_is_served_and_was_no_request() -> None:
    spy, engine = Spy(), ScriptedEngine()
    async with started(SEMANTIC, spy) as runtime:
        assert await runtime.pipeline.remember(chat(QUESTION), OLD) == ""
        assert not spy.finished
        assert not spy.decisions
        assert [each.entry_id for each in spy.stored] == [(await kept(runtime)).id]
        names = {name for name, *_ in runtime.telemetry.counts}
        assert names == {"forebay.cache.writes", "forebay.strategies"}
        assert runtime.analysis.goodput.share(time.monotonic()) is None
        assert runtime.pipeline.inflight == 0
        exact, semantic = await ask(runtime, QUESTION, engine=engine), await ask(runtime, SIMILAR, engine=engine)
    assert (exact.status, semantic.status) == ("exact", "semantic")
    assert (text_of(exact), text_of(semantic)) == ("old", "old")
    assert not engine.calls
    assert len(spy.finished) == 2


async def test_it_expires_as_much_sooner_as_it_is_old() -> None:
    async with started({"expiry": {"type": "fixed"}}) as runtime:
        assert await runtime.pipeline.remember(chat(QUESTION), OLD, age_s=1000.0) == ""
        entry = await kept(runtime)
        assert entry.expires_s - entry.created_s == DAY_S
        assert time.time() - entry.created_s == pytest.approx(1000.0, abs=60.0)
        assert await runtime.pipeline.remember(chat("another"), OLD, age_s=DAY_S) == "expired"
        assert await stored(runtime) == 1


async def test_what_is_kept_already_stays() -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION)
        before = await kept(runtime)
        assert await runtime.pipeline.remember(chat(QUESTION), OLD, age_s=1000.0) == "already_kept"
        assert await kept(runtime) == before


@pytest.mark.parametrize(
    ("request_", "answer", "reason"),
    [
        (chat(QUESTION), answer_of(completion("cut", finish_reason="length")), "finish_reason_length"),
        (chat(QUESTION, controls=Controls(no_store=True)), OLD, "no_store"),
        (chat(QUESTION, controls=Controls(bypass=True)), OLD, "bypass"),
        (chat(QUESTION, controls=Controls(ttl_s=0.0)), OLD, "no_lifetime"),
        (chat(QUESTION, temperature=float("nan")), OLD, "invalid_params"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_what_would_not_be_kept_is_not(request_: Request, answer: Answer, reason: str) -> None:
    async with started() as runtime:
        assert await runtime.pipeline.remember(request_, answer) == reason
        assert await stored(runtime) == 0


async def test_what_was_forgotten_since_it_was_computed_stays_forgotten() -> None:
    async with started() as runtime:
        await runtime.keeper.forget(Selector(model="test-model"))
        assert await runtime.pipeline.remember(chat(QUESTION), OLD, age_s=100.0) == "forgotten"
        assert await runtime.pipeline.remember(chat(QUESTION, model="other"), OLD, age_s=100.0) == ""


async def test_each_part_of_an_answer_is_kept_on_its_own() -> None:
    engine = ScriptedEngine()
    texts = [{"role": "user", "content": text} for text in ("one", "two")]
    both = Request("both", "m", texts, endpoint="embeddings", batch=True)
    bodies: list[Any] = [{"embedding": [1.0], "model": "m"}, {"embedding": [2.0], "model": "m"}]
    async with started() as runtime:
        assert await runtime.pipeline.remember(both, Answer({"parts": bodies}, 7)) == ""
        assert await stored(runtime) == 2
        swapped = replace(both, id="swapped", messages=texts[::-1])
        reply = await runtime.pipeline.handle(swapped, engine)
        await settled(runtime)
    assert reply.status == "exact"
    assert reply.body == {"parts": bodies[::-1]}
    assert not engine.calls


@pytest.mark.parametrize("broken", ["get", "put"])
async def test_a_store_that_fails_costs_the_entry_alone(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("down")

    async with started() as runtime:
        with monkeypatch.context() as patch:
            patch.setattr(runtime.keeper.store, broken, fail)
            assert await runtime.pipeline.remember(chat(QUESTION), OLD) == "store_error"
        assert await runtime.pipeline.remember(chat(QUESTION), OLD) == ""


async def test_what_cannot_be_encoded_costs_the_entry_alone() -> None:
    async with started() as runtime:
        odd = answer_of({**completion("x"), "odd": object()})
        assert await runtime.pipeline.remember(chat(QUESTION), odd) == "error"
        assert await stored(runtime) == 0
