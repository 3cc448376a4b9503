"""What an engine says of itself: into the metrics, by engine."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from forebay.middleware import semconv
from forebay.middleware.engine_feed import MOST, MOST_ENDED, EngineFeed, EngineReading, EngineTimes
from forebay.middleware.telemetry import ENGINES, Telemetry

FULL = EngineReading(running=3, waiting=2, kv_usage=0.5, prefix_queries=100, prefix_hits=40, preemptions=1, now_s=7.0)
LABELS = {semconv.PROVIDER: "vllm", semconv.REQUEST_MODEL: "tiny"}


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    made = InMemoryMetricReader()
    provider = MeterProvider([made])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    return made


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }


def test_readings_are_metrics_by_engine(reader: InMemoryMetricReader) -> None:
    feed = EngineFeed(Telemetry())
    feed.read(EngineReading(running=9))
    feed.read(FULL)
    feed.read(EngineReading(running=1), 1)
    found = points(reader)
    of_first = {
        name: next(one.value for one in found[name] if one.attributes == {"engine": "0"})
        for name in (*ENGINES.gauges, *ENGINES.counters)
    }
    assert of_first == {
        semconv.METRIC_RUNNING: 3,
        semconv.METRIC_WAITING: 2,
        semconv.METRIC_KV_USAGE: 0.5,
        semconv.METRIC_PREFIX_QUERIES: 100,
        semconv.METRIC_PREFIX_HITS: 40,
        semconv.METRIC_PREEMPTIONS: 1,
    }
    assert sorted(one.attributes["engine"] for one in found[semconv.METRIC_RUNNING]) == ["0", "1"]


def test_times_are_histograms(reader: InMemoryMetricReader) -> None:
    feed = EngineFeed(Telemetry(), LABELS)
    feed.finished(EngineTimes("a", queued_s=0.5, prefill_s=1.5, ttft_s=2.0, tpot_s=0.25, output_tokens=3))
    feed.finished(EngineTimes("b", ttft_s=4.0, output_tokens=1))
    found = points(reader)
    (ttft,), (tpot,) = found[semconv.METRIC_TTFT], found[semconv.METRIC_TPOT]
    assert (ttft.count, ttft.sum, ttft.attributes) == (2, 6.0, LABELS)
    assert (tpot.count, tpot.sum) == (1, 0.25)
    assert found[semconv.METRIC_ENGINE_QUEUE_SECONDS][0].sum == 0.5


def test_what_ended_is_counted_once_by_whoever_exports(reader: InMemoryMetricReader) -> None:
    feed = EngineFeed(Telemetry())
    for at in range(MOST_ENDED + 5):
        feed.finished(EngineTimes(str(at), ttft_s=1.0))
    points(reader)
    feed.finished(EngineTimes("more", ttft_s=1.0))
    (ttft,) = points(reader)[semconv.METRIC_TTFT]
    assert ttft.count == MOST_ENDED + 1


def test_engines_beyond_the_bound_are_not_kept() -> None:
    feed = EngineFeed(Telemetry(enabled=False))
    for engine in range(MOST + 1):
        feed.read(FULL, engine)
    feed.read(EngineReading(running=7), 0)
    assert len(feed.last) == MOST
    assert feed.last[0].running == 7
