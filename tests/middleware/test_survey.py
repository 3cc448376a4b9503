"""Looking at a batch before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.analysis.facts import Fingerprint, Length
from forebay.middleware.analysis.stream import Arrival, Savings
from forebay.middleware.batch import handle_many
from forebay.middleware.records import Controls
from forebay.middleware.survey import EMBEDDED_AT_ONCE, Survey
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.pattern.savings import expected_savings, judged
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.similar_rig import Rig

if TYPE_CHECKING:
    from forebay.middleware.analysis.facts import Outcome, RequestFacts, Subject
    from forebay.middleware.records import JsonObject
    from forebay.middleware.runtime import Runtime


class Says:
    """A predictor that says always the same."""

    def predict(self, subject: Subject) -> RequestFacts:
        return replace(subject.facts, fingerprint=Fingerprint("t", 0.5, (1, 2)), length=Length(100.0, 100.0))

    def learn(self, outcome: Outcome) -> None: ...

    def report(self) -> Sequence[JsonObject]:
        return []

    def snapshot(self) -> JsonObject:
        return {}

    def restore(self, state: JsonObject) -> None: ...


def survey(runtime: Runtime, **changes: Any) -> Survey:
    shares = judged(runtime.acceptance.judge)
    made = Survey(
        BasicAnalyzer(), runtime.pipeline.key_of, lambda some: expected_savings(some, shares), runtime.embedder
    )
    return replace(made, **changes)


async def test_what_is_expected_is_what_is_saved() -> None:
    rig = Rig()
    batch = [chat(text) for text in ("a cat", "a dog", "a kitten", "a cat", "a tomcat", "something else", "a dog")]
    async with started(rig.settings(), rig.plugin) as runtime:
        done = await handle_many(runtime.pipeline, batch, ScriptedEngine(), max_parallel=1, expect=survey(runtime))
    expected = done.report.expected
    assert expected is not None
    assert (expected.requests, expected.same, expected.similar) == (3, 2, 1)
    assert done.report.saved == expected.requests


async def test_arrivals_are_what_the_lookup_would_see() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        seen = survey(runtime, predictors=[Says()], prompt_scale=2.0)
        (first, second) = await seen.arrivals([chat("a cat"), chat("an image", n=float("nan"))], now_s=7.0)
        key = runtime.pipeline.key_of(chat("a cat"))
    assert (first.scope, first.exact, first.text, first.now_s) == (key.scope, key.exact, key.text, 7.0)
    assert first.vector == (1.0, 0.0, 0.0, 0.0)
    assert (first.template, first.prefix, first.output_tokens) == ("t", (1, 2), 100.0)
    assert first.input_tokens == 2 * BasicAnalyzer().analyze(chat("a cat")).input_tokens
    assert (second.exact, second.vector) == ("", None)


@pytest.mark.parametrize("controls", [Controls(bypass=True), Controls(no_cache=True), Controls(no_store=True)])
async def test_who_wants_no_part_in_it_shares_with_nobody(controls: Controls) -> None:
    async with started() as runtime:
        (found,) = await survey(runtime).arrivals([chat("a", controls=controls)])
    assert found.exact == ""


async def test_each_text_is_embedded_once_and_in_pieces() -> None:
    calls: list[int] = []

    class Counting:
        model_id = "counting@1"
        dimension = 2

        async def embed(self, texts: Sequence[str]) -> list[tuple[float, float]]:
            calls.append(len(texts))
            return [(1.0, 0.0)] * len(texts)

    async with started() as runtime:
        texts = [str(at) for at in range(EMBEDDED_AT_ONCE + 1)]
        found = await survey(runtime, embedder=Counting()).arrivals([chat(text) for text in texts * 2])
        assert calls == [EMBEDDED_AT_ONCE, 1]
        assert all(each.vector is not None for each in found)
        assert all(each.vector is None for each in await survey(runtime, embedder=None).arrivals([chat("a")]))


async def test_the_savings_are_reckoned_from_the_arrivals() -> None:
    def counted(arrivals: Sequence[Arrival]) -> Savings:
        return Savings(requests=len(arrivals))

    async with started() as runtime:
        assert await survey(runtime, savings=counted)([chat("a"), chat("b")]) == Savings(requests=2)


def test_the_mean_lies_above_the_median_where_lengths_spread() -> None:
    assert Length(100.0, 100.0).mean == 100.0
    assert Length(100.0, 189.8).mean == pytest.approx(100 * 1.1331, rel=1e-3)
    assert Length(0.0, 50.0).mean == 0.0
    assert Length(1.0, 1e9).mean < 4.0
