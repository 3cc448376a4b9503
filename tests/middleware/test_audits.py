"""Audits: which decisions are judged, what the policy is told, and what becomes of the pair."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.background import BackgroundCaller
from forebay.middleware.config import BackgroundConfig
from forebay.middleware.errors import EmbedderError
from forebay.middleware.records import Controls
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import ask, stored, text_of
from tests.middleware.parts import settled
from tests.middleware.similar_rig import Rig, SaysSo

if TYPE_CHECKING:
    from forebay.middleware.records import Audit
    from forebay.middleware.runtime import Runtime

CAT, KITTEN, DOG = "a cat", "a kitten", "a dog"


def audited(judge: SaysSo | None = None, *, share: float = 1.0, **acceptance: Any) -> Rig:
    return Rig(judge=judge, share=share, **acceptance)


async def asked_of(runtime: Runtime, text: str, answer: str = "fresh", **params: Any) -> str:
    reply = await ask(runtime, text, engine=ScriptedEngine([answer]), **params)
    await runtime.auditor.drain(5.0)
    return str(reply.status)


def call_behind(runtime: Runtime, *script: str | dict[str, Any] | Exception, **config: Any) -> ScriptedEngine:
    engine = ScriptedEngine(script or ("from behind",))
    runtime.background = BackgroundCaller(runtime.pipeline, engine, BackgroundConfig(**config))
    return engine


def outcomes(audits: list[Audit], kind: str = "candidate") -> list[tuple[bool | None, bool, float]]:
    return [(audit.same, audit.served, audit.share) for audit in audits if audit.kind == kind]


@pytest.mark.parametrize("same", [True, False, None])
async def test_an_unproven_hit_is_judged_by_the_answer_that_was_computed(same: bool | None) -> None:
    rig = audited(proven=False, share=0.999999, judge=SaysSo(same=same))
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        assert await asked_of(runtime, KITTEN, "new") == "shadow"
        assert outcomes(rig.acceptance.audits) == [(same, False, 0.999999)]
        assert (rig.judge.pairs[0].question, rig.judge.pairs[0].kept_question) == (KITTEN, CAT)
        assert (rig.judge.pairs[0].kept, rig.judge.pairs[0].fresh) == ("old", "new")
        keys = [runtime.pipeline.key_of(chat(text)).exact for text in (KITTEN, CAT)]
        assert runtime.refused.holds(keys[0], keys[1]) is (same is False)


async def test_a_rejected_candidate_may_be_audited_too() -> None:
    rig = audited(cut=0.99)
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        assert await asked_of(runtime, KITTEN) == "miss"
        (audit,) = rig.acceptance.audits
        assert (audit.verdict.accepted, audit.same) == (False, True)


async def test_of_what_the_policy_does_not_ask_for_nothing_is_judged() -> None:
    rig = audited(proven=False, share=0.0)
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        await asked_of(runtime, KITTEN)
        assert rig.acceptance.audits == []
        assert rig.judge.pairs == []


async def test_a_served_hit_is_judged_by_an_answer_from_behind_and_becomes_exact_where_right() -> None:
    rig = audited()
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        engine = call_behind(runtime)
        assert await asked_of(runtime, KITTEN) == "semantic"
        assert outcomes(rig.acceptance.audits) == [(True, True, 1.0)]
        assert rig.judge.pairs[0].fresh == "from behind"
        assert engine.calls
        assert await stored(runtime) == 2
        reply = await ask(runtime, KITTEN)
        assert (reply.status, text_of(reply)) == ("exact", "old")
        assert runtime.telemetry.counts["forebay.cache.promotions",] == 1


async def test_a_served_hit_that_was_wrong_is_never_served_again() -> None:
    rig = audited(judge=SaysSo(same=False))
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        call_behind(runtime)
        assert await asked_of(runtime, KITTEN) == "semantic"
        assert outcomes(rig.acceptance.audits) == [(False, True, 1.0)]
        assert await asked_of(runtime, KITTEN, "right") == "miss"
        assert await asked_of(runtime, KITTEN) == "exact"


async def test_without_anyone_behind_a_proven_hit_is_held_out_and_computed() -> None:
    rig = audited()
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        reply = await ask(runtime, KITTEN, engine=ScriptedEngine(["new"]))
        await runtime.auditor.drain(5.0)
        assert (reply.status, text_of(reply)) == ("shadow", "new")
        assert outcomes(rig.acceptance.audits) == [(True, False, 1.0)]
        assert (await ask(runtime, KITTEN)).status == "exact"


async def test_what_the_background_callers_budget_does_not_allow_is_not_drawn() -> None:
    rig = audited()
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        call_behind(runtime, calls_per_minute=0)
        assert await asked_of(runtime, KITTEN) == "semantic"
        assert rig.acceptance.audits == []


@pytest.mark.parametrize(("settings", "judged"), [({"per_hour": 0}, 0), ({"per_hour": 1}, 1), ({"enabled": False}, 0)])
async def test_audits_keep_to_their_budget(settings: dict[str, Any], judged: int) -> None:
    rig = audited(proven=False)
    async with started(rig.settings(audits=settings), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        for at in range(3):
            await asked_of(runtime, f"{at} {KITTEN}")
        assert len(outcomes(rig.acceptance.audits)) == judged


async def test_an_engine_that_fails_behind_teaches_nothing() -> None:
    rig = audited()
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        call_behind(runtime, RuntimeError("down"))
        assert await asked_of(runtime, KITTEN) == "semantic"
        assert rig.acceptance.audits == []
        assert runtime.telemetry.counts["forebay.audits", "kind=candidate", "outcome=skipped"] == 1


async def test_a_judge_that_fails_could_not_tell() -> None:
    rig = audited(proven=False, judge=SaysSo(error=EmbedderError("down")))
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        await asked_of(runtime, KITTEN)
        assert outcomes(rig.acceptance.audits) == [(None, False, 1.0)]


async def test_the_judge_is_tried_on_answers_that_must_differ() -> None:
    rig = audited(proven=False)
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "of cats")
        await asked_of(runtime, DOG, "of dogs")
        await asked_of(runtime, KITTEN, "of kittens", tenant="other")
        await asked_of(runtime, KITTEN, "of kittens")
        (control,) = outcomes(rig.acceptance.audits, "control")[-1:]
        assert control == (True, False, 1.0)  # this judge takes everything for the same
        assert (rig.judge.pairs[-1].kept, rig.judge.pairs[-1].fresh) == ("of dogs", "of kittens")


async def test_the_engine_is_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.middleware.audits.REPEATS", 1.0)
    rig = audited(proven=False, judge=SaysSo(same=False))
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        call_behind(runtime, "another way to say it")
        await asked_of(runtime, KITTEN, "one way to say it")
        assert outcomes(rig.acceptance.audits, "repeat") == [(False, False, 1.0)]
        assert (rig.judge.pairs[-1].kept, rig.judge.pairs[-1].fresh) == ("another way to say it", "one way to say it")


@pytest.mark.parametrize("controls", [Controls(no_cache=True), Controls(bypass=True)], ids=["no cache", "bypass"])
async def test_what_was_not_looked_up_is_not_audited(controls: Controls) -> None:
    rig = audited(proven=False)
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        await asked_of(runtime, KITTEN, controls=controls)
        assert rig.acceptance.audits == []


async def test_what_was_learned_outlives_a_restart_and_is_for_one_embedder(tmp_path: Any) -> None:
    for model, known in (("words@1", 1), ("words@1", 2), ("words@2", 1)):
        rig = audited(proven=False)
        rig.embedder.model_id = model
        rig.acceptance.state = {"n": 0}
        async with started(rig.settings(state_dir=str(tmp_path)), rig.plugin) as runtime:
            assert rig.acceptance.state["n"] == known - 1
            rig.acceptance.audits = [None] * rig.acceptance.state["n"]  # type: ignore[list-item]
            await asked_of(runtime, f"{model} {known} {CAT}")
            await asked_of(runtime, f"{model} {known} {KITTEN}")
            assert rig.acceptance.state["n"] == known


@pytest.mark.parametrize("rejected", [True, False], ids=["rejected", "unproven"])
async def test_who_followed_an_equal_request_was_not_served_the_candidate(rejected: bool) -> None:
    rig = audited(cut=0.99) if rejected else audited(proven=False)
    look_up = rig.embedder.embed

    async def slowly(texts: Any) -> Any:
        await asyncio.sleep(0)  # so that all are looked up before the first computes
        return await look_up(texts)

    rig.embedder.embed = slowly  # type: ignore[method-assign]
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        behind = call_behind(runtime, max_concurrent=5)
        engine = ScriptedEngine(["new"])
        await asyncio.gather(*(runtime.pipeline.handle(chat(KITTEN), engine) for _ in range(3)))
        await settled(runtime)
        await runtime.auditor.drain(5.0)
        assert [audit.served for audit in rig.acceptance.audits if audit.kind == "candidate"] == [False]
        assert len(behind.calls) <= 1  # the engine compared with itself, perhaps
        assert text_of(await ask(runtime, KITTEN)) == "new"


async def test_an_answer_from_behind_that_broke_off_teaches_nothing() -> None:
    rig = audited(SaysSo(same=False))
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT, "old")
        call_behind(runtime, completion("ol", finish_reason="length"))
        assert await asked_of(runtime, KITTEN) == "semantic"
        assert rig.judge.pairs == []
        assert await asked_of(runtime, KITTEN) == "semantic"


async def test_an_edited_or_failed_request_is_not_audited() -> None:
    rig = audited(proven=False)
    async with started(rig.settings(), rig.plugin) as runtime:
        await asked_of(runtime, CAT)
        with pytest.raises(RuntimeError):
            await ask(runtime, KITTEN, engine=ScriptedEngine([RuntimeError("down")]))
        await runtime.auditor.drain(5.0)
        assert rig.acceptance.audits == []
