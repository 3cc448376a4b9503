from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.span import NonRecordingSpan

from forebay.adapters.otlp.exporter import OTLPExporter, traces_url
from forebay.adapters.otlp.receiver import Receiver
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import Exporter
from forebay.middleware.registry import EXPORTER, Build
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import telemetry as plugin

LOGGER = "forebay.adapters.otlp.exporter"
SLACK_S = 0.5


@pytest.fixture
def closed_port() -> str:
    """An endpoint where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def record(exporter: OTLPExporter, count: int) -> None:
    tracer = exporter.provider().get_tracer("test")
    for _ in range(count):
        tracer.start_span("span").end()


def flush(exporter: OTLPExporter) -> None:
    provider = exporter.provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush(5_000)


def shutdown_seconds(exporter: OTLPExporter, timeout_s: float) -> float:
    began = time.monotonic()
    exporter.shutdown(timeout_s)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://host:4318", "http://host:4318/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
        ("http://host:4318/v1/traces", "http://host:4318/v1/traces"),
        ("http://host:4318/v1/traces/", "http://host:4318/v1/traces"),
    ],
)
def test_traces_url(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_shutdown_sends_what_is_left() -> None:
    with Receiver() as receiver:
        exporter = OTLPExporter(receiver.endpoint, sample_ratio=1.0)
        record(exporter, 1000)
        assert shutdown_seconds(exporter, 10) < 10
        assert len(receiver.spans()) == 1000


def test_shutdown_is_bounded_with_a_closed_port(closed_port: str) -> None:
    exporter = OTLPExporter(closed_port, sample_ratio=1.0)
    record(exporter, 2000)
    assert shutdown_seconds(exporter, 1.0) < 1.0 + SLACK_S


def test_shutdown_is_bounded_with_a_collector_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(hang=True) as receiver, caplog.at_level(logging.WARNING, LOGGER):
        exporter = OTLPExporter(receiver.endpoint, sample_ratio=1.0)
        record(exporter, 2000)
        assert shutdown_seconds(exporter, 0.3) < 0.3 + SLACK_S
    assert "did not take the last spans within 0.3 s" in caplog.text


def test_shutdown_is_bounded_with_a_slow_collector() -> None:
    with Receiver(delay_s=0.8) as receiver:
        exporter = OTLPExporter(receiver.endpoint, sample_ratio=1.0)
        record(exporter, 3000)
        assert shutdown_seconds(exporter, 1.0) < 1.0 + SLACK_S


def test_a_collector_that_goes_away_and_comes_back_is_one_line_each(
    closed_port: str, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = OTLPExporter(closed_port, sample_ratio=1.0, timeout_s=0.2)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            record(exporter, 2)
            flush(exporter)
        port = int(closed_port.rpartition(":")[2])
        with Receiver(port=port) as receiver:
            for _ in range(2):
                record(exporter, 2)
                flush(exporter)
            assert len(receiver.spans()) == 4
            exporter.shutdown(5)
    said = [entry.getMessage() for entry in caplog.records if entry.name.startswith(("forebay", "opentelemetry"))]
    assert len(said) == 2
    assert "does not take spans (" in said[0]
    assert said[1].endswith("takes spans again; 6 were lost")


def test_other_exporters_of_the_process_still_log(closed_port: str, caplog: pytest.LogCaptureFixture) -> None:
    exporter = OTLPExporter(closed_port, sample_ratio=1.0)
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("somebody else's")
    exporter.shutdown(1)
    assert "somebody else's" in caplog.text


def sampled(exporter: OTLPExporter, parents: Sequence[SpanContext | None]) -> int:
    tracer = exporter.provider().get_tracer("test")
    contexts = [None if parent is None else set_span_in_context(NonRecordingSpan(parent)) for parent in parents]
    return sum(tracer.start_span("span", context).is_recording() for context in contexts)


def test_a_caller_decides_and_the_ratio_decides_for_the_rest() -> None:
    exporter = OTLPExporter("http://127.0.0.1:9", sample_ratio=0.1)
    wanted = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    unwanted = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    assert sampled(exporter, [wanted] * 20) == 20
    assert sampled(exporter, [unwanted] * 20) == 0
    assert 50 < sampled(exporter, [None] * 1000) < 180
    exporter.shutdown(0.1)


def test_the_environment_of_opentelemetry_takes_the_place_of_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.1")
    exporter = OTLPExporter("http://127.0.0.1:9", sample_ratio=1.0)
    assert sampled(exporter, [wanted] * 20) == 20
    assert 50 < sampled(exporter, [None] * 1000) < 180
    exporter.shutdown(0.1)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    exporter = OTLPExporter("http://127.0.0.1:9", sample_ratio=1.0)
    assert sampled(exporter, [wanted, None]) == 0
    exporter.shutdown(0.1)


async def test_check_ready_says_whether_spans_are_taken(closed_port: str) -> None:
    gone = OTLPExporter(closed_port)
    (finding,) = await gone.check_ready()
    assert (finding.ok, finding.required) == (False, False)
    assert closed_port.removeprefix("http://") in finding.detail
    gone.shutdown(1)
    with Receiver() as receiver:
        here = OTLPExporter(receiver.endpoint)
        assert [each.ok for each in await here.check_ready()] == [True]
        here.shutdown(1)
        wrong = OTLPExporter(f"{receiver.endpoint}/elsewhere")
        (finding,) = await wrong.check_ready()
        assert "answered 404" in finding.detail
        wrong.shutdown(1)


def test_the_plugin_builds_one_and_names_a_wrong_setting(tmp_path: object) -> None:
    manager = PluginManager()
    manager.register(plugin, "telemetry")
    from pathlib import Path

    build = Build(Path(str(tmp_path)), Keyring.from_secret("0" * 16), Telemetry(enabled=False))
    settings = {"endpoint": "http://127.0.0.1:9", "headers": {"x-key": "hidden"}, "sample_ratio": 0.5}
    made = manager.registry.build(EXPORTER, "otlp", settings, build)
    assert isinstance(made, Exporter)
    made.shutdown(0.1)
    with pytest.raises(ConfigError, match="endpoint"):
        manager.registry.build(EXPORTER, "otlp", {"endpoint": "host:4318"}, build)
