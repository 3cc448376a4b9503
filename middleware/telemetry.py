"""Spans and metrics through the OpenTelemetry API.

The host's provider is used where there is one and never replaced; the SDK is not imported here. A request
has one root span, `forebay.request`, and one child a stop. Where the root is not sampled no child is made and
no attribute set (about 1 µs a span instead of 8), but the trace context still travels to the engine.
Labels are bounded: model names beyond the first hundred count as "other".
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping  # noqa: TC003  (named tuples read their annotations)
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

log = logging.getLogger(__name__)
Attributes = dict[str, Any]
TRACE_HEADERS: Final = ("traceparent", "tracestate")
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_MODELS: Final = 100


class Observed(NamedTuple):
    """Metrics that are read when they are exported.

    Attributes:
        label: what tells their readings apart.
        gauges, counters: their names, and units.
    """

    label: str
    gauges: Mapping[str, str]
    counters: Mapping[str, str]


LANES: Final = Observed(
    "lane",
    MappingProxyType(
        dict.fromkeys(
            (semconv.METRIC_QUEUED, semconv.METRIC_INSIDE, semconv.METRIC_RESERVED, semconv.METRIC_PLACES), ""
        )
    ),
    MappingProxyType(dict.fromkeys((semconv.METRIC_BUSY_SECONDS, semconv.METRIC_STARVED_SECONDS), "s")),
)
ENGINES: Final = Observed(
    "engine",
    MappingProxyType({semconv.METRIC_RUNNING: "", semconv.METRIC_WAITING: "", semconv.METRIC_KV_USAGE: "1"}),
    MappingProxyType(
        dict.fromkeys((semconv.METRIC_PREFIX_QUERIES, semconv.METRIC_PREFIX_HITS, semconv.METRIC_PREEMPTIONS), "")
    ),
)


class Telemetry:
    """Makes spans and counts things. Never raises into a request.

    Args:
        enabled: False makes every span invalid and every counter local only.
        trust_inbound: whether a caller's ``traceparent`` becomes our parent.
    """

    def __init__(self, *, enabled: bool = True, trust_inbound: bool = True) -> None:
        self.enabled = enabled
        self.counts: Counter[tuple[str, ...]] = Counter()
        self._trust_inbound = trust_inbound
        self._tracer = trace.get_tracer("forebay")
        self._models: set[str] = set()
        meter = metrics.get_meter("forebay")
        counters = (
            semconv.METRIC_REQUESTS,
            semconv.METRIC_LOOKUPS,
            semconv.METRIC_WRITES,
            semconv.METRIC_EVICTIONS,
            semconv.METRIC_REFRESHES,
            semconv.METRIC_REVISIONS,
            semconv.METRIC_TOKENS_SAVED,
            semconv.METRIC_SHED,
            semconv.METRIC_AUDITS,
            semconv.METRIC_PROMOTIONS,
            semconv.METRIC_DEPENDENCY_ERRORS,
            semconv.METRIC_PLUGIN_ERRORS,
            semconv.METRIC_STRATEGIES,
            semconv.METRIC_OBJECTIVES,
        )
        self._counters = {name: meter.create_counter(name) for name in counters}
        seconds = (
            semconv.METRIC_LOOKUP_SECONDS,
            semconv.METRIC_QUEUE_SECONDS,
            semconv.METRIC_ENGINE_QUEUE_SECONDS,
            semconv.METRIC_TTFT,
            semconv.METRIC_TPOT,
        )
        self._histograms = {name: meter.create_histogram(name, unit="s") for name in seconds}
        self._ratios = meter.create_histogram(semconv.METRIC_PREDICTION_RATIO, unit="1")

    def observe(self, read: Callable[[], Iterable[tuple[str, str, float]]], what: Observed = LANES) -> None:
        """Let the metrics reader ask for readings whenever it exports; called once for each `what`.

        Args:
            read: returns (metric, label, value). Runs in the reader's thread.
        """
        if not self.enabled:
            return
        meter = metrics.get_meter("forebay")

        def of(metric: str) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
            return lambda _: [
                metrics.Observation(value, {what.label: label}) for name, label, value in read() if name == metric
            ]

        for name, unit in what.gauges.items():
            meter.create_observable_gauge(name, [of(name)], unit=unit)
        for name, unit in what.counters.items():
            meter.create_observable_counter(name, [of(name)], unit=unit)

    def bind(self, provider: TracerProvider) -> None:
        """Use this provider; for hosts that have none of their own."""
        self._tracer = provider.get_tracer("forebay")

    @staticmethod
    def host_has_provider() -> bool:
        """Return whether the host process has set a tracer provider."""
        return not isinstance(trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider))

    def parent_of(self, span: object, headers: Mapping[str, str]) -> Context | None:
        """Return the parent context: a host's span where it is one, else the caller's ``traceparent``."""
        if isinstance(span, Span) and span.get_span_context().is_valid:
            return trace.set_span_in_context(span)
        if not self._trust_inbound:
            return None
        carrier = {k.lower(): v for k, v in headers.items() if k.lower() in TRACE_HEADERS}
        return _PROPAGATOR.extract(carrier) if carrier else None

    def root(self, parent: Context | None, attributes: Attributes, name: str = semconv.SPAN_REQUEST) -> Span:
        """Start the span of a request, or of what has a name of its own."""
        return self._start(name, parent, SpanKind.INTERNAL, attributes)

    def child(self, name: str, parent: Span, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> Span:
        """Start a span below another; an invalid span where the other is not recorded."""
        if not parent.is_recording():
            return INVALID_SPAN
        return self._start(name, trace.set_span_in_context(parent), kind, attributes)

    def engine_span(self, root: Span, model: str, *, provider: str) -> Span:
        """Start the inference span ``chat MODEL``; the engine becomes its child through `inject`."""
        attributes: Attributes = {
            semconv.OPERATION: "chat",
            semconv.REQUEST_MODEL: model,
            semconv.PROVIDER: provider,
        }
        if not root.is_recording():
            return INVALID_SPAN
        return self._start(f"chat {model}", trace.set_span_in_context(root), SpanKind.CLIENT, attributes)

    def inject(self, *spans: Span) -> dict[str, str]:
        """Return trace headers for the first valid span, {} where none is."""
        for span in spans:
            if span.get_span_context().is_valid:
                carrier: dict[str, str] = {}
                _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
                return carrier
        return {}

    def count(self, metric: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter; labels must come from a bounded set."""
        if "model" in labels:
            labels["model"] = self._model(labels["model"])
        self.counts[_name(metric, tuple(labels.items()))] += amount
        if self.enabled:
            self._counters[metric].add(amount, labels)

    def seconds(self, metric: str, value_s: float, **labels: str) -> None:
        """Record a duration."""
        if self.enabled:
            self._histograms[metric].record(value_s, labels)

    def ratio(self, fact: str, happened: float, predicted: float) -> None:
        """Record how often a prediction is in what happened: 1 where it came true."""
        if self.enabled and predicted > 0:
            self._ratios.record(happened / predicted, {"fact": fact})

    def dependency_error(self, dependency: str, error: str) -> None:
        """Count a failure of something forebay talks to."""
        self.count(semconv.METRIC_DEPENDENCY_ERRORS, dependency=dependency, error=error)

    def plugin_error(self, plugin: str, hook: str, error: str) -> None:
        """Count a failure of a plugin."""
        self.count(semconv.METRIC_PLUGIN_ERRORS, plugin=plugin, hook=hook, error=error)

    def _start(self, name: str, parent: Context | None, kind: SpanKind, attributes: Attributes) -> Span:
        if not self.enabled:
            return INVALID_SPAN
        try:
            span = self._tracer.start_span(name, context=parent, kind=kind)
            if span.is_recording():
                span.set_attributes(attributes)
        except Exception:  # a host's sampler or processor may be broken; the request must not be
            log.debug("span %s could not be started", name, exc_info=True)
            return INVALID_SPAN
        return span

    def _model(self, name: str) -> str:
        if name not in self._models:
            if len(self._models) >= _MODELS:
                return "other"
            self._models.add(name)
        return name


@lru_cache(maxsize=1024)
def _name(metric: str, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the name of a count; the same few are asked for with every request."""
    return (metric, *(f"{name}={value}" for name, value in sorted(labels)))


def end_span(span: Span, *, error: str | None = None, **attributes: Any) -> None:
    """Set attributes (None is left out), mark an error and end a span; safe to call on an ended one."""
    if span.is_recording():
        annotate(span, attributes)
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, error)
            span.set_status(StatusCode.ERROR)
        try:
            span.end()
        except Exception:  # a host's processor may be broken; the request must not be
            log.debug("a span could not be ended", exc_info=True)


def annotate(span: Span, values: Mapping[str, Any]) -> None:
    """Set attributes whose names have dots; None is left out."""
    if span.is_recording():
        span.set_attributes({key: value for key, value in values.items() if value is not None})
