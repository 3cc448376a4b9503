"""Telemetry inside a host: whose provider and whose parent, bounded labels, broken processors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN

from forebay.middleware import semconv
from forebay.middleware.telemetry import Telemetry
from forebay.testing import started
from tests.middleware.asking import SEMANTIC as SERVE
from tests.middleware.asking import ask

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_callers_traceparent_is_only_taken_where_it_is_trusted() -> None:
    headers = {"traceparent": PARENT}
    assert Telemetry(trust_inbound=True).parent_of(None, headers) is not None
    assert Telemetry(trust_inbound=False).parent_of(None, headers) is None
    assert Telemetry().parent_of(None, {}) is None
    assert Telemetry().parent_of("no span", {"other": "x"}) is None


def test_a_hosts_span_is_the_parent_whatever_the_headers_say() -> None:
    span = TracerProvider().get_tracer("host").start_span("host")
    for trust in (True, False):
        context = Telemetry(trust_inbound=trust).parent_of(span, {"traceparent": PARENT})
        assert context is not None
        assert trace.get_current_span(context) is span
    assert Telemetry(trust_inbound=False).parent_of(INVALID_SPAN, {}) is None


async def test_labels_are_bounded_whatever_callers_send() -> None:
    telemetry = Telemetry(enabled=False)
    for at in range(500):
        telemetry.count(semconv.METRIC_REQUESTS, model=f"model-{at}")
    for _ in range(5):
        telemetry.count(semconv.METRIC_REQUESTS, model="model-1")
    models = {key[1]: count for key, count in telemetry.counts.items()}
    assert len(models) == 101
    assert models["model=other"] == 400
    assert models["model=model-1"] == 6


async def test_many_models_and_tenants_make_no_new_counters() -> None:
    async with started() as runtime:
        for at in range(30):
            await ask(runtime, f"question {at}", model=f"model-{at}", tenant=f"tenant-{at}")
        assert len(runtime.telemetry.counts) < 10


def test_a_hosts_provider_is_used_and_never_replaced() -> None:
    program = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from forebay.middleware.telemetry import Telemetry
from forebay.testing import ScriptedEngine, chat, started

exporter = InMemorySpanExporter()
host = TracerProvider()
host.add_span_processor(SimpleSpanProcessor(exporter))

async def main():
    assert not Telemetry.host_has_provider()
    trace.set_tracer_provider(host)
    assert Telemetry.host_has_provider()
    settings = {"telemetry": {"exporter": {"type": "otlp", "endpoint": "http://127.0.0.1:9"}}}
    async with started(settings) as runtime:
        await runtime.pipeline.handle(chat("hello"), ScriptedEngine())
    assert trace.get_tracer_provider() is host
    assert "forebay.request" in {span.name for span in exporter.get_finished_spans()}

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_host_provider_the_exporters_is_used_and_not_made_global() -> None:
    program = """
import asyncio
from opentelemetry import trace
from forebay.middleware.telemetry import Telemetry
from forebay.testing import started
from forebay.middleware.registry import EXPORTER, NoSettings
from forebay import hookimpl
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from forebay.testing import ScriptedEngine, chat

spans = InMemorySpanExporter()
notes = []

class Exporter:
    def provider(self):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        return provider
    def shutdown(self, timeout_s):
        notes.append(timeout_s)

class Plugin:
    @hookimpl
    def register_components(self, registry):
        registry.add(EXPORTER, "mine", lambda s, b: Exporter(), settings=NoSettings)

async def main():
    async with started({"telemetry": {"exporter": {"type": "mine"}}}, Plugin()) as runtime:
        await runtime.pipeline.handle(chat("hello"), ScriptedEngine())
    assert not Telemetry.host_has_provider()
    assert "forebay.request" in {span.name for span in spans.get_finished_spans()}
    assert notes == [2.0]

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class BrokenProcessor(SpanProcessor):
    """A host's processor that raises at the start or at the end of spans."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.at == "start":
            raise RuntimeError

    def on_end(self, span: ReadableSpan) -> None:
        if self.at == "end":
            raise RuntimeError


@pytest.mark.parametrize("at", ["start", "end"])
async def test_a_broken_span_processor_fails_no_request(at: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor(at))
    async with started(SERVE) as runtime:
        runtime.telemetry.bind(provider)
        for status in ("miss", "exact"):
            assert (await ask(runtime, "What?")).status == status
