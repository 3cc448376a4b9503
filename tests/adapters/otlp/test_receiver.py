from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from forebay.adapters.otlp.exporter import OTLPExporter
from forebay.adapters.otlp.receiver import Receiver
from forebay.adapters.otlp.spans import Link, Span, decode


@pytest.fixture
def body() -> bytes:
    """One export: a server span, and a client span below it with everything a span may have."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    elsewhere = tracer.start_span("elsewhere")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER):
        link = trace.Link(elsewhere.get_span_context())
        child = tracer.start_span("child", kind=SpanKind.CLIENT, links=[link])
        child.set_attributes({"s": "x", "i": 3, "f": 0.5, "b": True, "l": ["a", "b"]})
        child.add_event("first", {"n": 1}, timestamp=5)
        child.set_status(StatusCode.ERROR)
        child.end()
    provider.shutdown()
    message: bytes = encode_spans(memory.get_finished_spans()).SerializeToString()
    return message


def test_decode(body: bytes) -> None:
    child, root = decode(body)
    assert (root.name, root.kind, root.parent_id, root.error) == ("root", "server", "", False)
    assert (child.name, child.kind, child.parent_id, child.error) == ("child", "client", root.span_id, True)
    assert child.trace_id == root.trace_id
    assert (len(child.trace_id), len(child.span_id)) == (32, 16)
    assert child.attributes == {"s": "x", "i": 3, "f": 0.5, "b": True, "l": ("a", "b")}
    assert [(event.name, event.at_ns, event.attributes) for event in child.events] == [("first", 5, {"n": 1})]
    assert [isinstance(link, Link) and len(link.span_id) for link in child.links] == [16]
    assert child.service.startswith("unknown_service")
    assert 0 <= child.duration_ms <= root.duration_ms


@given(st.binary())
def test_decode_refuses_or_reads_any_bytes(data: bytes) -> None:
    try:
        spans = decode(data)
    except ValueError:
        return
    assert all(isinstance(span, Span) for span in spans)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_an_export_is_taken(body: bytes, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with Receiver() as receiver:
        reply = httpx.post(f"{receiver.endpoint}/v1/traces", content=pack(body), headers={"content-encoding": encoding})
        assert reply.status_code == 200
        assert [span.name for span in receiver.spans()] == ["child", "root"]
        trace_id = receiver.spans()[0].trace_id
        assert len(receiver.spans(trace_id)) == 2
        assert receiver.spans("0" * 32) == ()


def test_what_is_no_export_is_refused() -> None:
    with Receiver() as receiver:
        traces = f"{receiver.endpoint}/v1/traces"
        assert httpx.post(traces, content=b"\xff\xff\xff").status_code == 400
        assert httpx.post(traces, content=b"no gzip", headers={"content-encoding": "gzip"}).status_code == 400
        assert httpx.post(f"{receiver.endpoint}/v1/metrics", content=b"any").status_code == 200
        assert httpx.post(f"{receiver.endpoint}/elsewhere", content=b"").status_code == 404
        assert receiver.refused == 1
        assert receiver.spans() == ()


def test_wait_for_ends_when_the_spans_arrive(body: bytes) -> None:
    with Receiver() as receiver:
        url = f"{receiver.endpoint}/v1/traces"
        sender = threading.Thread(target=lambda: httpx.post(url, content=body))
        sender.start()
        found = receiver.wait_for(lambda spans: any(span.name == "root" for span in spans), 10)
        sender.join()
    assert {span.name for span in found} == {"root", "child"}


def test_wait_for_gives_up() -> None:
    def never(spans: Sequence[Span]) -> bool:
        return False

    with Receiver() as receiver, pytest.raises(TimeoutError, match="0 spans"):
        receiver.wait_for(never, 0.01)


def test_a_real_exporter_and_a_parent_from_elsewhere() -> None:
    with Receiver() as receiver:
        exporter = OTLPExporter(receiver.endpoint, sample_ratio=1.0)
        tracer = exporter.provider().get_tracer("test")
        with tracer.start_as_current_span("outer") as outer:
            tracer.start_span("inner").end()
        exporter.shutdown(5)
        inner, sent = sorted(receiver.spans(), key=lambda span: span.name)
    assert inner.parent_id == sent.span_id
    assert int(sent.span_id, 16) == outer.get_span_context().span_id
    assert sent.service == "forebay"
