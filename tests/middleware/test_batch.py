"""handle_many: a batch through the pipeline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forebay.middleware.analysis.stream import Savings
from forebay.middleware.batch import handle_many
from forebay.middleware.batch_report import Batch
from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.pipeline import Reply
from forebay.middleware.records import Controls, Request
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import ask, text_of
from tests.middleware.parts import settled, until
from tests.middleware.similar_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.middleware.records import Answer


class Echo(ScriptedEngine):
    """Answers with the question; fails where that is "fail"."""

    async def _next(self, request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
        await super()._next(request, headers)
        await asyncio.sleep(0)
        question = str(request.messages[-1]["content"])
        if question == "fail":
            raise EngineError("told to fail", status=500)
        return completion(f"to {question}")


def texts(batch: Batch) -> list[str]:
    return [text_of(reply) if isinstance(reply, Reply) else type(reply).__name__ for reply in batch.replies]


def statuses(batch: Batch) -> list[str]:
    return [reply.status if isinstance(reply, Reply) else type(reply).__name__ for reply in batch.replies]


def questions(*asked: str) -> list[Request]:
    return [chat(question) for question in asked]


async def test_answers_come_in_the_callers_order() -> None:
    asked = [f"question {at}" for at in range(40)]
    engine = Echo()
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, questions(*asked), engine, max_parallel=7)
    assert texts(batch) == [f"to {question}" for question in asked]
    assert (batch.report.members, batch.report.computed, batch.report.saved) == (40, 40, 0)


async def test_no_more_are_computed_at_once_than_allowed_and_no_fewer() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["ok"], gate=gate)
    async with started() as runtime:
        task = asyncio.create_task(
            handle_many(runtime.pipeline, questions(*map(str, range(12))), engine, max_parallel=3)
        )
        await until(lambda: engine.running == 3)
        assert len(engine.calls) == 3
        gate.set()
        await task
    assert engine.most_running == 3


@pytest.mark.parametrize("max_parallel", [1, 2, 16])
async def test_equal_members_are_computed_once(max_parallel: int) -> None:
    engine = Echo()
    async with started() as runtime:
        batch = await handle_many(
            runtime.pipeline, questions("a", "b", "a", "a", "c", "b"), engine, max_parallel=max_parallel
        )
    assert texts(batch) == ["to a", "to b", "to a", "to a", "to c", "to b"]
    assert len(engine.calls) == 3
    assert (batch.report.computed, batch.report.exact + batch.report.inflight) == (3, 3)
    assert batch.report.tokens_saved == 3 * 10


@pytest.mark.parametrize("max_parallel", [1, 2, 16])
async def test_equivalent_members_are_computed_once(max_parallel: int) -> None:
    gate = asyncio.Event()
    rig, engine = Rig(), Echo(gate=gate)
    async with started(rig.settings(), rig.plugin) as runtime:
        asked = questions("a cat", "a dog", "a kitten")
        task = asyncio.create_task(handle_many(runtime.pipeline, asked, engine, max_parallel=max_parallel))
        await until(lambda: engine.running == min(2, max_parallel))
        gate.set()
        batch = await task
    assert texts(batch) == ["to a cat", "to a dog", "to a cat"]
    assert len(engine.calls) == 2
    assert batch.report.inflight + batch.report.semantic == 1


async def test_those_that_wait_for_another_take_no_place() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["ok"], gate=gate)
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        asked = questions("a cat", "a cat", "a kitten", "a cat", "a dog")
        task = asyncio.create_task(handle_many(runtime.pipeline, asked, engine, max_parallel=2))
        await until(lambda: engine.running == 2)
        gate.set()
        batch = await task
    assert statuses(batch) == ["miss", "inflight", "inflight", "inflight", "miss"]


async def test_what_is_kept_already_is_not_computed() -> None:
    async with started() as runtime:
        await ask(runtime, "known", engine=ScriptedEngine(["kept"]))
        batch = await handle_many(runtime.pipeline, questions("new", "known"), Echo())
    assert texts(batch) == ["to new", "kept"]
    assert statuses(batch) == ["miss", "exact"]


async def test_a_member_that_fails_fails_alone() -> None:
    engine = Echo()
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, questions("a", "fail", "b"), engine)
    assert texts(batch) == ["to a", "EngineError", "to b"]
    assert (batch.report.failed, batch.report.computed) == (1, 2)


@pytest.mark.parametrize("max_parallel", [1, 2])
async def test_where_a_leader_fails_the_others_try_themselves_within_the_limit(max_parallel: int) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([EngineError("broken", status=500), "ok"], gate=gate)
    async with started() as runtime:
        asked = questions("a", "a", "a", "a")
        task = asyncio.create_task(handle_many(runtime.pipeline, asked, engine, max_parallel=max_parallel))
        await until(lambda: engine.running == 1)
        gate.set()
        batch = await task
    assert statuses(batch)[0] == "EngineError"
    assert [text_of(reply) for reply in batch.replies[1:] if isinstance(reply, Reply)] == ["ok"] * 3
    assert engine.most_running <= max_parallel


async def test_a_shed_member_gets_its_error() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["ok"], gate=gate)
    settings = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with started(settings) as runtime:
        task = asyncio.create_task(handle_many(runtime.pipeline, questions("a", "b", "c"), engine, max_parallel=3))
        await until(lambda: engine.running == 1)
        await until(lambda: runtime.pipeline.inflight == 1)
        gate.set()
        batch = await task
    assert [isinstance(reply, ShedError) for reply in batch.replies] == [False, True, True]
    assert batch.report.failed == 2


async def test_being_cancelled_ends_every_flight() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["ok"], gate=gate)
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        asked = questions("a cat", "a dog", "a cat", "a kitten", "else", "more")
        task = asyncio.create_task(handle_many(runtime.pipeline, asked, engine, max_parallel=2))
        await until(lambda: engine.running == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(runtime)
        assert (runtime.pipeline.inflight, engine.running) == (0, 0)
        assert runtime.pipeline.gate.load.inflight == 0
        gate.set()
        assert (await ask(runtime, "a cat")).status == "miss"


async def test_answers_are_whole_also_of_those_that_asked_for_a_stream() -> None:
    engine = Echo()
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a", stream=True)], engine)
    assert texts(batch) == ["to a"]
    assert [request.stream for request in engine.calls] == [False]


async def test_the_report_says_what_was_not_kept() -> None:
    cut = completion("half", finish_reason="length")
    async with started() as runtime:
        requests = [chat("a"), chat("b", controls=Controls(no_store=True))]
        batch = await handle_many(runtime.pipeline, requests, ScriptedEngine([cut, "ok"]))
    assert dict(batch.report.not_kept) == {"finish_reason_length": 1, "no_store": 1}


async def test_it_is_asked_first_what_will_be_saved() -> None:
    asked: list[Sequence[Request]] = []

    async def expect(requests: Sequence[Request]) -> Savings:
        asked.append(requests)
        assert not engine.calls
        return Savings(requests=1.0)

    async def broken(requests: Sequence[Request]) -> Savings:
        raise ValueError(len(requests))

    engine = Echo()
    async with started() as runtime:
        requests = questions("a", "a")
        batch = await handle_many(runtime.pipeline, requests, engine, expect=expect)
        assert (asked, batch.report.expected) == ([requests], Savings(requests=1.0))
        assert (await handle_many(runtime.pipeline, questions("a"), engine, expect=broken)).report.expected is None


async def test_the_span_of_a_batch_links_to_its_members() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with started() as runtime:
        runtime.telemetry.bind(provider)
        await handle_many(runtime.pipeline, questions("a", "b", "a", "fail"), Echo())
    spans = exporter.get_finished_spans()
    (batch,) = [span for span in spans if span.name == "forebay.batch"]
    members = [span.context.span_id for span in spans if span.name == "forebay.request" and span.context is not None]
    assert sorted(link.context.span_id for link in batch.links) == sorted(members)
    told = batch.attributes or {}
    assert [told[f"forebay.batch.{name}"] for name in ("members", "computed", "inflight", "failed")] == [4, 2, 1, 1]


async def test_an_empty_batch_is_answered() -> None:
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [], Echo())
    assert (list(batch.replies), batch.report.members) == ([], 0)


async def test_two_members_with_one_id_and_no_places_are_refused() -> None:
    async with started() as runtime:
        one = chat("a")
        with pytest.raises(ValueError, match="id of its own"):
            await handle_many(runtime.pipeline, [one, one], Echo())
        with pytest.raises(ValueError, match="max_parallel"):
            await handle_many(runtime.pipeline, [one], Echo(), max_parallel=0)


async def test_an_engine_that_answers_rubbish_fails_its_member() -> None:
    class Rubbish(Echo):
        async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
            answer = await super().complete(request, headers)
            return answer if request.messages[-1]["content"] == "a" else None  # type: ignore[return-value]

    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, questions("a", "b"), Rubbish())
    assert texts(batch)[0] == "to a"
    assert isinstance(batch.replies[1], Exception)
