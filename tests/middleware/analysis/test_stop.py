"""The analysis of flights through a real pipeline: what is found, chosen and learned, and what a failing part costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forebay.middleware.analysis.facts import Length, Priority, RequestFacts
from forebay.middleware.analysis.strategies import Strategy
from forebay.middleware.records import CacheStatus, Request
from forebay.middleware.runtime import Runtime
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.analysis.parts import (
    OWN,
    Chooses,
    Classifies,
    Plugin,
    Predicts,
    Watches,
    crash,
    impossible,
    late,
    wrong,
)

EXACT: dict[str, Any] = {**OWN, "cache": {"semantic": "off"}}
FAILURES = [(crash, "error"), (wrong, "wrong"), (late, "slow"), (impossible, "error")]


async def ask(runtime: Runtime, request: Request, answer: Any = "an answer") -> CacheStatus:
    reply = await runtime.pipeline.handle(request, ScriptedEngine([answer]))
    if reply.chunks is not None:
        assert [chunk async for chunk in reply.chunks]
    else:
        assert reply.body is not None
    await runtime.pipeline.drain(2.0)
    return reply.status


async def decisions(runtime: Runtime, request: Request) -> list[dict[str, Any]]:
    assert runtime.state.flush()
    explained = runtime.state.explanation(request.id)
    assert explained is not None
    found: list[dict[str, Any]] = explained["decisions"]
    return found


def absent(found: list[dict[str, Any]]) -> dict[str, str]:
    return {one["fact"]: one["reason"] for one in found if one["choice"] == "absent"}


async def test_facts_are_found_before_and_after_the_lookup() -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        request = chat("What is a forebay?")
        assert await ask(runtime, request) is CacheStatus.MISS
        (situation,) = plugin.chooses.asked
        assert situation.facts.priority is Priority.BATCH
        assert situation.facts.length is None
        (subject,) = plugin.predicts.asked
        assert subject.facts.priority is Priority.BATCH
        assert subject.key is not None
        (arrival,) = plugin.watches.seen
        assert (arrival.hit, arrival.exact) == (False, subject.key.exact)
        assert 7.0 < arrival.output_tokens < 9.0  # the mean of a median of 7
        found = await decisions(runtime, request)
        assert {"stop": "strategy", "choice": "told", "reason": "told"} in found
        (predicted,) = (one for one in found if one["stop"] == "predict")
        assert predicted["length.median"] == 7.0
        assert absent(found) == {}


async def test_a_hit_is_not_predicted_and_teaches_nothing() -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.MISS
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.EXACT
        assert (len(plugin.predicts.asked), len(plugin.predicts.learned)) == (1, 1)
        assert [arrival.hit for arrival in plugin.watches.seen] == [False, True]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_outcome_says_what_happened(stream: bool) -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        await ask(runtime, chat("What is a forebay?", stream=stream))
        (outcome,) = plugin.predicts.learned
        assert outcome.subject.facts.length == Length(7.0, 9.0, 0.5, "told")
        assert outcome.complete
        assert not outcome.truncated
        assert outcome.output_tokens > 0
        assert outcome.lane == "test-model"
        assert outcome.entered_s is not None
        assert outcome.ended_s is not None
        assert outcome.entered_s <= outcome.ended_s
        assert (outcome.first_token_s is not None) is stream


ENDS: list[tuple[dict[str, Any], bool]] = [
    ({**completion("cut"), "choices": [{**completion("cut")["choices"][0], "finish_reason": "length"}]}, True),
    ({**completion("cut"), "choices": [], "stop_reason": "max_tokens"}, True),
    ({**completion("cut"), "choices": [], "incomplete_details": {"reason": "max_output_tokens"}}, True),
    (completion("whole"), False),
]


@pytest.mark.parametrize(("body", "truncated"), ENDS)
async def test_an_answer_that_was_cut_is_known_as_such(body: dict[str, Any], truncated: bool) -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        await ask(runtime, chat("What is a forebay?"), body)
        assert [outcome.truncated for outcome in plugin.predicts.learned] == [truncated]


async def test_nothing_is_predicted_of_embeddings() -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        await ask(runtime, replace(chat("What is a forebay?"), endpoint="embeddings"))
        assert not plugin.predicts.asked
        assert not plugin.predicts.learned
        assert len(plugin.watches.seen) == len(plugin.chooses.asked) == 1


async def test_a_failed_request_is_no_complete_outcome() -> None:
    plugin = Plugin()
    async with started(EXACT, plugin) as runtime:
        with pytest.raises(RuntimeError):
            await ask(runtime, chat("What is a forebay?"), RuntimeError("down"))
        await runtime.pipeline.drain(2.0)
        assert [outcome.complete for outcome in plugin.predicts.learned] == [False]


async def test_the_spans_say_what_was_found_and_what_is_absent() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for plugin in (Plugin(), Plugin(Classifies(crash), Predicts(crash), chooses=Chooses(crash))):
        async with started(EXACT, plugin) as runtime:
            runtime.telemetry.bind(provider)
            await ask(runtime, chat("What is a forebay?"))
    analyzed, predicted = (
        [dict(span.attributes or {}) for span in exporter.get_finished_spans() if span.name == name]
        for name in ("forebay.analyze", "forebay.predict")
    )
    assert (analyzed[0]["forebay.priority"], analyzed[0]["forebay.strategy"]) == ("batch", "told")
    assert "forebay.facts.absent" not in analyzed[0]
    assert analyzed[1]["forebay.facts.absent"] == ("told: error", "strategy: error")
    assert (predicted[0]["forebay.length.median"], predicted[0]["forebay.length.q90"]) == (7.0, 9.0)
    assert predicted[1]["forebay.facts.absent"] == ("told: error",)


async def test_mode_off_is_left_alone() -> None:
    plugin = Plugin()
    async with started({**EXACT, "mode": "off"}, plugin) as runtime:
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.BYPASS
        assert not plugin.predicts.asked
        assert not plugin.chooses.asked
        assert not plugin.watches.seen


@pytest.mark.parametrize(("fails", "reason"), FAILURES)
async def test_a_classifier_that_fails_costs_its_fact(fails: Callable[..., Any], reason: str) -> None:
    plugin = Plugin(classifies=Classifies(fails))
    async with started(EXACT, plugin) as runtime:
        request = chat("What is a forebay?")
        assert await ask(runtime, request) is CacheStatus.MISS
        assert plugin.predicts.asked[0].facts.urgency is None
        assert absent(await decisions(runtime, request)) == {"told": reason}
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.EXACT


@pytest.mark.parametrize(("fails", "reason"), FAILURES)
async def test_a_predictor_that_fails_costs_its_fact(fails: Callable[..., Any], reason: str) -> None:
    plugin = Plugin(predicts=Predicts(fails, learns=False))
    async with started(EXACT, plugin) as runtime:
        request = chat("What is a forebay?")
        assert await ask(runtime, request) is CacheStatus.MISS
        assert plugin.watches.seen[0].output_tokens == 0.0
        assert absent(await decisions(runtime, request)) == {"told": reason}
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.EXACT


@pytest.mark.parametrize("fails", [crash, wrong, late])
async def test_a_strategist_that_fails_leaves_things_as_configured(fails: Callable[..., Any]) -> None:
    async with started(EXACT, Plugin(chooses=Chooses(fails))) as runtime:
        request = chat("What is a forebay?")
        assert await ask(runtime, request) is CacheStatus.MISS
        assert absent(await decisions(runtime, request)).keys() == {"strategy"}
        assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.EXACT


@pytest.mark.parametrize("fails", [crash, wrong, late])
async def test_a_stream_analyzer_that_fails_is_left_out(fails: Callable[..., Any]) -> None:
    plugin = Plugin(watches=Watches(fails))
    async with started(EXACT, plugin) as runtime:
        for _ in range(5):
            await ask(runtime, chat("What is a forebay?"))
        stream = plugin.chooses.asked[-1].stream
        assert stream is not None
        assert not stream.forecasts
        assert runtime.telemetry.counts


async def test_nothing_may_be_kept_that_might_not_before() -> None:
    class Loosens(Classifies):
        def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
            return RequestFacts(1, 1, "chat", cacheable=True, semantic=True)

    async with started(EXACT, Plugin(classifies=Loosens())) as runtime:
        for _ in range(2):
            assert await ask(runtime, chat("What is a forebay?", temperature=1.9)) is CacheStatus.MISS


async def test_a_classifier_may_forbid_keeping() -> None:
    class Forbids(Classifies):
        def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
            return RequestFacts(1, 1, "chat", cacheable=False, semantic=False, reason="told")

    async with started(EXACT, Plugin(classifies=Forbids())) as runtime:
        for _ in range(2):
            assert await ask(runtime, chat("What is a forebay?")) is CacheStatus.MISS


async def test_a_strategy_may_be_stricter_than_the_policy() -> None:
    loose = {**OWN, "acceptance": {"type": "threshold", "threshold": 0.3}}
    twins = {"cache": {"semantic": "serve", "twins": False}}
    asked = ("How do I reset my password?", "How can I reset my own password?")
    for strictness, status in ((0.0, CacheStatus.SEMANTIC), (1.0, CacheStatus.SHADOW)):
        chooses = Chooses(strategy=Strategy("told", strictness=strictness))
        async with started({**loose, **twins}, Plugin(chooses=chooses)) as runtime:
            assert await ask(runtime, chat(asked[0])) is CacheStatus.MISS
            assert await ask(runtime, chat(asked[1])) is status


async def test_what_was_learned_outlives_the_process(tmp_path: Any) -> None:
    settings = {**EXACT, "state_dir": str(tmp_path)}
    async with started(settings, Plugin()) as runtime:
        await ask(runtime, chat("What is a forebay?"))
    async with started(settings, Plugin()) as runtime:
        assert runtime.state.load("learned:predictors.told") == {"n": 1}


async def test_goodput_is_measured_by_class() -> None:
    settings = {**EXACT, "objectives": {"batch": {"total_s": 1e-9}}}
    plugin = Plugin()
    async with started(settings, plugin) as runtime:
        for at in range(21):
            await ask(runtime, chat(f"What is forebay number {at}?"))
        assert plugin.chooses.asked[-1].goodput == 0.0
        assert runtime.telemetry.counts[("forebay.objectives", "met=false", "priority=batch")] == 21
