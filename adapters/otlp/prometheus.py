"""forebay's metrics on a page that Prometheus reads, beside those that the process already shows there."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
RATIOS: Final = (0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)
_SEVERAL: Final = "PROMETHEUS_MULTIPROC_DIR"


def show_on_prometheus(environ: Mapping[str, str]) -> bool:
    """Show all metrics of this process in prometheus_client's own registry; return False, and say why, where they are not.

    A host's meter provider is never replaced: where there is one, metrics go where it sends them.
    """
    if isinstance(metrics.get_meter_provider(), NoOpMeterProvider) or _has_provider():
        log.info("forebay's metrics go to this process's own meter provider, and are not on /metrics")
        return False
    if environ.get(_SEVERAL):
        # then /metrics shows what lies in that folder, of all processes, and nothing else
        log.warning("forebay's metrics are not on /metrics while %s is set; this server needs no such folder", _SEVERAL)
        return False
    try:
        exporter: Any = import_module("opentelemetry.exporter.prometheus")
    except ImportError:
        log.warning(
            "forebay's metrics are not on /metrics; install what is missing with: pip install 'forebay[vllm]', or "
            "opentelemetry-exporter-prometheus"
        )
        return False
    from opentelemetry.sdk.metrics import Histogram, MeterProvider
    from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

    # by default OpenTelemetry's are for milliseconds
    views = [
        View(instrument_type=Histogram, instrument_unit=unit, aggregation=ExplicitBucketHistogramAggregation(bounds))
        for unit, bounds in (("s", SECONDS), ("1", RATIOS))
    ]
    reader = exporter.PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False)
    metrics.set_meter_provider(MeterProvider([reader], views=views))
    return True


def _has_provider() -> bool:
    from opentelemetry.sdk.metrics import MeterProvider

    return isinstance(metrics.get_meter_provider(), MeterProvider)
