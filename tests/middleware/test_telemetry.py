"""Spans and counters: which there are, below which, and that none holds a prompt or an answer."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from forebay.middleware import semconv
from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.telemetry import annotate, end_span
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.parts import AtMost, Given, settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from forebay.middleware.runtime import Runtime

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SERVE = {"cache": {"semantic": "serve"}, "acceptance": {"type": "threshold", "threshold": 0.5}}


class Recorder:
    """A provider in memory."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def take(self) -> dict[str, ReadableSpan]:
        """Return the finished spans by name, and forget them."""
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        found = {span.name: span for span in spans}
        assert len(found) == len(spans), Counter(span.name for span in spans)
        return found


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def runtime(recorder: Recorder) -> AsyncGenerator[Runtime]:
    async with started(SERVE) as runtime:
        runtime.telemetry.bind(recorder.provider)
        yield runtime


async def ask(runtime: Runtime, *texts: str, engine: ScriptedEngine | None = None, **params: Any) -> Any:
    parent = runtime.telemetry.parent_of(None, params.pop("headers", {}))
    reply = await runtime.pipeline.handle(chat(*texts, **params), engine or ScriptedEngine(["It is a pool."]), parent)
    await settled(runtime)
    return reply


def tree(spans: Mapping[str, ReadableSpan]) -> dict[str, str]:
    """Return name → name of the parent, "" for the root."""
    names = {span.context.span_id: span.name for span in spans.values() if span.context is not None}
    return {span.name: names.get(span.parent.span_id, "?") if span.parent else "" for span in spans.values()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


EMBED = f"{semconv.SPAN_EMBED} hashing/1/256"


async def test_the_spans_of_a_miss(runtime: Runtime, recorder: Recorder) -> None:
    reply = await ask(runtime, "What is a forebay?")
    spans = recorder.take()
    assert tree(spans) == {
        "forebay.request": "",
        "forebay.analyze": "forebay.request",
        "forebay.cache.lookup": "forebay.request",
        "forebay.predict": "forebay.request",
        "forebay.admission": "forebay.request",
        "chat test-model": "forebay.request",
        "forebay.settle": "forebay.request",
        EMBED: "forebay.settle",
    }
    kinds = {name for name, span in spans.items() if span.kind is SpanKind.CLIENT}
    assert kinds == {"chat test-model", EMBED}
    assert {span.kind for span in spans.values()} == {SpanKind.CLIENT, SpanKind.INTERNAL}
    root = attributes(spans["forebay.request"])
    assert root.pop("forebay.tenant.hash") != "tests"
    assert root == {
        "forebay.request.id": reply.request_id,
        "gen_ai.request.model": "test-model",
        "forebay.outcome": "miss",
        "forebay.ending": "complete",
    }
    lookup = attributes(spans["forebay.cache.lookup"])
    assert lookup == {"forebay.cache.decision": "miss", "forebay.cache.miss_reason": "no_candidate"}
    admission = attributes(spans["forebay.admission"])
    assert admission.pop("forebay.queue.wait_s") >= 0
    assert admission == {"forebay.queue.depth": 0, "forebay.admission.outcome": "admitted"}
    inference = attributes(spans["chat test-model"])
    assert inference.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert inference == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.response.model": "test-model",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
    }
    settle = attributes(spans["forebay.settle"])
    assert settle.pop("forebay.write.ttl_s") > 0
    assert settle == {"forebay.write.outcome": "stored"}
    assert set(attributes(spans["forebay.analyze"])) == {
        "forebay.analyze.task",
        "forebay.analyze.input_tokens",
        "forebay.analyze.cacheable",
        "forebay.analyze.reason",
        "forebay.language",
        "forebay.priority",
        "forebay.priority.reason",
        "forebay.strategy",
        "forebay.strategy.reason",
        "forebay.volatility",
    }
    assert set(attributes(spans["forebay.predict"])) == {
        "forebay.difficulty",
        "forebay.length.confidence",
        "forebay.length.median",
        "forebay.length.q90",
        "forebay.neighbours",
    }
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.values())


async def test_the_spans_of_an_exact_hit(runtime: Runtime, recorder: Recorder) -> None:
    await ask(runtime, "What is a forebay?")
    recorder.take()
    await ask(runtime, "What is a forebay?")
    spans = recorder.take()
    assert tree(spans) == {
        "forebay.request": "",
        "forebay.analyze": "forebay.request",
        "forebay.cache.lookup": "forebay.request",
        "forebay.settle": "forebay.request",
    }
    lookup = attributes(spans["forebay.cache.lookup"])
    assert lookup.pop("forebay.cache.entry.age_s") >= 0
    assert lookup == {
        "forebay.cache.mode": "exact",
        "forebay.cache.decision": "hit",
        "forebay.cache.similarity": 1.0,
    }
    assert attributes(spans["forebay.request"])["forebay.outcome"] == "exact"
    assert attributes(spans["forebay.settle"]) == {
        "forebay.write.outcome": "skipped",
        "forebay.write.skip_reason": "hit",
    }


async def test_the_spans_of_a_semantic_hit(runtime: Runtime, recorder: Recorder) -> None:
    await ask(runtime, "What is a forebay?")
    recorder.take()
    reply = await ask(runtime, "What is a forebay, please?")
    assert reply.status == "semantic"
    spans = recorder.take()
    assert tree(spans) == {
        "forebay.request": "",
        "forebay.analyze": "forebay.request",
        "forebay.cache.lookup": "forebay.request",
        EMBED: "forebay.cache.lookup",
        "search": "forebay.cache.lookup",
        "forebay.cache.verify": "forebay.cache.lookup",
        "forebay.settle": "forebay.request",
    }
    assert {name for name, span in spans.items() if span.kind is SpanKind.CLIENT} == {EMBED, "search"}
    assert attributes(spans["forebay.cache.lookup"])["forebay.cache.mode"] == "semantic"
    assert 0.5 <= attributes(spans["forebay.cache.lookup"])["forebay.cache.similarity"] < 1.0
    assert attributes(spans["search"]) == {"forebay.cache.topk": 5}
    assert attributes(spans["forebay.cache.verify"])["forebay.verify.result"] == "accept"
    assert attributes(spans[EMBED]) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "hashing/1/256",
    }


async def test_a_candidate_that_is_refused_says_why(runtime: Runtime, recorder: Recorder) -> None:
    await ask(runtime, "What is a forebay?")
    recorder.take()
    await ask(runtime, "Who wrote the second symphony of Mahler?")
    spans = recorder.take()
    assert attributes(spans["forebay.cache.verify"]) == {
        "forebay.verify.result": "reject",
        "forebay.verify.reason": "below_threshold",
    }
    assert attributes(spans["forebay.cache.lookup"])["forebay.cache.miss_reason"] == "below_threshold"


async def test_a_stream_notes_its_first_token(runtime: Runtime, recorder: Recorder) -> None:
    reply = await ask(runtime, "What is a forebay?", stream=True)
    chunks = [chunk async for chunk in reply.chunks]
    await settled(runtime)
    assert len(chunks) > 3
    spans = recorder.take()
    assert [event.name for event in spans["chat test-model"].events] == ["forebay.first_token"]
    assert attributes(spans["chat test-model"])["gen_ai.response.finish_reasons"] == ("stop",)


ODD_BODIES: list[dict[str, Any]] = [{}, {"choices": "x"}, {"choices": [None, {}]}, {"id": {}, "model": ["m"]}]


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_an_odd_answer_breaks_no_span(runtime: Runtime, recorder: Recorder, body: dict[str, Any]) -> None:
    reply = await ask(runtime, "What?", engine=ScriptedEngine([body]))
    assert reply.body == body
    assert attributes(recorder.take()["forebay.request"])["forebay.ending"] == "complete"


async def test_an_engine_error_is_marked(runtime: Runtime, recorder: Recorder) -> None:
    with pytest.raises(EngineError):
        await ask(runtime, "What?", engine=ScriptedEngine([EngineError("down", status=503)]))
    await settled(runtime)
    spans = recorder.take()
    assert attributes(spans["chat test-model"])["error.type"] == "failed"
    assert spans["chat test-model"].status.status_code is StatusCode.ERROR
    assert attributes(spans["forebay.request"])["forebay.ending"] == "failed"
    assert attributes(spans["forebay.settle"])["forebay.write.skip_reason"] == "not_complete"


async def test_a_refusal_is_marked(recorder: Recorder) -> None:
    plugin = Given(limit=AtMost(0))
    async with started({**plugin.settings, "admission": {"max_queue": 0}}, plugin) as runtime:
        runtime.telemetry.bind(recorder.provider)
        with pytest.raises(ShedError):
            await ask(runtime, "What?")
        await settled(runtime)
    spans = recorder.take()
    marked = attributes(spans["forebay.admission"])
    assert marked.pop("forebay.queue.wait_s") < 1.0
    assert marked == {
        "forebay.queue.depth": 0,
        "forebay.admission.outcome": "shed",
        "forebay.shed.reason": "queue_full",
    }
    assert attributes(spans["forebay.request"])["forebay.outcome"] == "shed"
    assert "chat test-model" not in spans


async def test_the_callers_trace_goes_on_to_the_engine(runtime: Runtime, recorder: Recorder) -> None:
    engine = ScriptedEngine()
    await ask(runtime, "What?", engine=engine, headers={"Traceparent": PARENT, "TraceState": "a=b"})
    spans = recorder.take()
    inference = spans["chat test-model"].context
    assert inference is not None
    assert engine.headers == [
        {"traceparent": f"00-{TRACE}-{inference.span_id:016x}-01", "tracestate": "a=b"},
    ]
    root = spans["forebay.request"]
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    assert {f"{span.context.trace_id:032x}" for span in spans.values() if span.context} == {TRACE}


async def test_an_unsampled_request_makes_no_children_but_the_trace_goes_on() -> None:
    recorder = Recorder(ParentBased(ALWAYS_ON))
    made: list[str] = []

    class Tracer:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def start_span(self, name: str, **options: Any) -> Any:
            made.append(name)
            return self.inner.start_span(name, **options)

    async with started(SERVE) as runtime:
        runtime.telemetry._tracer = Tracer(recorder.provider.get_tracer("forebay"))  # type: ignore[assignment]
        engine = ScriptedEngine()
        await ask(runtime, "What?", engine=engine, headers={"traceparent": PARENT[:-1] + "0"})
    assert made == ["forebay.request"]
    assert recorder.take() == {}
    (headers,) = engine.headers
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert headers["traceparent"].endswith("-00")


async def test_a_sampler_that_drops_all_records_nothing() -> None:
    recorder = Recorder(ALWAYS_OFF)
    async with started(SERVE) as runtime:
        runtime.telemetry.bind(recorder.provider)
        await ask(runtime, "What?")
    assert recorder.take() == {}


async def test_switched_off_it_makes_no_span_and_counts_for_itself(recorder: Recorder) -> None:
    async with started({"telemetry": {"enabled": False}}) as runtime:
        runtime.telemetry.bind(recorder.provider)
        engine = ScriptedEngine()
        await ask(runtime, "What?", engine=engine, headers={"traceparent": PARENT})
        assert runtime.telemetry.counts["forebay.requests", "ending=complete", "status=miss"] == 1
    assert recorder.take() == {}
    assert engine.headers == [{}]


CANARIES = ("prompt-canary", "answer-canary", "system-canary", "reason-canary", "tool-canary")


async def test_no_prompt_and_no_answer_is_in_a_span_a_counter_a_log_or_an_error(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    answer = completion("answer-canary", reasoning_content="reason-canary")
    tools: list[Any] = [{"type": "function", "function": {"name": "tool-canary", "parameters": {}}}]
    errors: list[str] = []
    with caplog.at_level(logging.DEBUG):
        async with started(SERVE) as runtime:
            runtime.telemetry.bind(recorder.provider)
            for texts in (
                ["What is a prompt-canary?"],
                ["What is a prompt-canary?"],
                ["What is a prompt-canary, please?"],
                ["Another prompt-canary entirely, of 12 words and 3 numbers 4 5 6?"],
                ["first prompt-canary", "answer-canary", "and then, prompt-canary?"],
            ):
                for stream in (False, True):
                    reply = await ask(
                        runtime, *texts, engine=ScriptedEngine([answer]), system="system-canary", tools=tools,
                        stream=stream,
                    )  # fmt: skip
                    if stream:
                        assert [chunk async for chunk in reply.chunks]
            for broken in (EngineError("down"), ValueError("odd")):
                with pytest.raises(type(broken)) as raised:
                    await ask(runtime, "failing prompt-canary", engine=ScriptedEngine([broken]))
                errors.append(str(raised.value))
            await settled(runtime)
            counts = list(runtime.telemetry.counts)
    spans = recorder.exporter.get_finished_spans()
    assert len(spans) > 40
    texts = [caplog.text, json.dumps(counts), *errors, *(span.to_json() for span in spans)]
    assert [text for text in texts if any(canary in text for canary in CANARIES)] == []


def test_ending_a_span_twice_changes_nothing(recorder: Recorder) -> None:
    span = recorder.provider.get_tracer("t").start_span("once")
    annotate(span, {"a": 1, "b": None})
    end_span(span, error="first", c=None)
    end_span(span, error="second")
    annotate(span, {"late": 1})
    assert attributes(recorder.take()["once"]) == {"a": 1, "error.type": "first"}
