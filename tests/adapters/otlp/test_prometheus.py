"""forebay's metrics where Prometheus reads them: with which buckets, and when not."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from forebay.adapters.otlp.prometheus import RATIOS, SECONDS, show_on_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "opentelemetry.exporter.prometheus"


class Reader(InMemoryMetricReader):
    """In the place of the package's."""

    made: list[Reader]

    def __init__(self, *, disable_target_info: bool, scope_info_enabled: bool) -> None:
        assert disable_target_info
        assert not scope_info_enabled
        super().__init__()
        self.made.append(self)


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MeterProvider]]:
    """What becomes the process's provider, while the package is only pretended."""
    seen: list[MeterProvider] = []
    Reader.made = []
    package: Any = SimpleNamespace(PrometheusMetricReader=Reader)
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    monkeypatch.setattr(metrics, "set_meter_provider", seen.append)
    yield seen
    for provider in seen:
        provider.shutdown()


def test_histograms_have_buckets_for_what_they_count(providers: list[MeterProvider]) -> None:
    assert show_on_prometheus({})
    (provider,), (reader,) = providers, Reader.made
    meter = provider.get_meter("forebay")
    meter.create_histogram("seconds", unit="s").record(0.02)
    meter.create_histogram("ratio", unit="1").record(1.3)
    data = reader.get_metrics_data()
    assert data is not None
    bounds: dict[str, tuple[float, ...]] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        (point,) = metric.data.data_points
        assert isinstance(point, HistogramDataPoint)
        bounds[metric.name] = tuple(point.explicit_bounds)
    assert bounds == {"seconds": SECONDS, "ratio": RATIOS}


@pytest.mark.parametrize("own", [MeterProvider, metrics.NoOpMeterProvider])
def test_a_hosts_own_provider_is_never_replaced(
    providers: list[MeterProvider], monkeypatch: pytest.MonkeyPatch, own: type
) -> None:
    provider = own()
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    assert not show_on_prometheus({})
    assert providers == []
    if isinstance(provider, MeterProvider):
        provider.shutdown()


def test_of_a_page_for_several_processes_we_are_no_part(
    providers: list[MeterProvider], caplog: pytest.LogCaptureFixture
) -> None:
    assert not show_on_prometheus({"PROMETHEUS_MULTIPROC_DIR": "/somewhere"})
    assert "PROMETHEUS_MULTIPROC_DIR" in caplog.text
    assert providers == []


def test_without_the_package_it_is_said_what_to_install(
    providers: list[MeterProvider], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert not show_on_prometheus({})
    assert "opentelemetry-exporter-prometheus" in caplog.text
    assert providers == []
