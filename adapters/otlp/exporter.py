"""Sends spans to a collector by OTLP over HTTP, for hosts that have no tracer provider of their own.

The SDK's defaults wait 30 s at shutdown for a collector that is down and log every failed batch. Here a shutdown
is bounded and abandoned, and a collector that goes away or comes back is one line each.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from ...middleware.events import Health
from ...middleware.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

log = logging.getLogger(__name__)
TRACES_PATH: Final = "/v1/traces"
_SDK_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

QUEUE_SPANS: Final = 8192
"""8 spans a request, 200 requests a second, 5 s between two exports, every request sampled; about 16 MB when full.
Beyond it the SDK drops the oldest spans, never a request."""


def traces_url(endpoint: str) -> str:
    """Return where spans are posted: the endpoint, with ``/v1/traces`` appended where it is missing."""
    base = endpoint.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


class OTLPExporter:
    """A tracer provider that samples and sends in the background.

    Args:
        endpoint: ``http(s)://host:4318``, with or without ``/v1/traces``.
        headers: sent with every export, for example a collector's API key.
        sample_ratio: share of traces to record, in [0, 1]; a caller's decision is kept. OpenTelemetry's own
            OTEL_TRACES_SAMPLER takes its place where it is set.
        timeout_s: the longest one export may take, retries included.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        headers: Mapping[str, str] | None = None,
        sample_ratio: float = 0.1,
        timeout_s: float = 1.0,
    ) -> None:
        self._url = traces_url(endpoint)
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._sender = _Sender(self._url, self._headers, timeout_s)
        self._provider = TracerProvider(
            # None: the SDK reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG
            sampler=None if os.environ.get(OTEL_TRACES_SAMPLER) else ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({"service.name": "forebay", "service.version": __version__}),
            shutdown_on_exit=False,  # it would wait 30 s for a collector that is down
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._sender, max_queue_size=QUEUE_SPANS))

    def provider(self) -> TracerProvider:
        """Return the provider to make spans with."""
        return self._provider

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left within the time, then give up."""
        thread = threading.Thread(target=self._provider.shutdown, name="forebay-otlp-shutdown", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            self._sender.abandoned = True
            log.warning("%s did not take the last spans within %g s; they are lost", self._url, timeout_s)

    async def check_ready(self) -> Sequence[Health]:
        """Post an empty export, which a collector accepts."""
        name = "telemetry"
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        fix = "start the collector or correct telemetry.exporter.endpoint; requests are served either way"
        try:
            async with httpx.AsyncClient(timeout=self._timeout_s) as client:
                reply = await client.post(
                    self._url, content=b"", headers={**self._headers, "content-type": "application/x-protobuf"}
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = f"the collector at {host} does not answer ({type(error).__name__})"
            return [Health(name, ok=False, detail=detail, fix=fix, required=False)]
        if reply.is_success:
            return [Health(name, ok=True, detail=f"spans are taken at {host}")]
        detail = f"the collector at {host} answered {reply.status_code}"
        return [Health(name, ok=False, detail=detail, fix=fix, required=False)]


class _Sender(SpanExporter):
    """The SDK's exporter, heard only when the collector goes away and when it is back."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self._url = url
        self._inner: Any = OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=timeout_s)
        self._down = False
        self._lost = 0
        self.abandoned = False
        logging.getLogger(_SDK_LOGGER).addFilter(_MUTE)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.abandoned:
            return SpanExportResult.FAILURE
        with _MUTE:
            result: SpanExportResult = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._down:
                log.warning("%s takes spans again; %d were lost", self._url, self._lost)
            self._down, self._lost = False, 0
            return result
        self._lost += len(spans)
        if not self._down:
            self._down = True
            log.warning(
                "%s does not take spans (%s); they are lost until it does", self._url, _MUTE.heard or "no reason"
            )
        return result

    def shutdown(self) -> None:
        with _MUTE:
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))


class _Mute(logging.Filter):
    """Keeps the SDK's records of one thread back while it exports for us; other exporters log as before."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    @property
    def heard(self) -> str:
        """The last message kept back in this thread."""
        return getattr(self._here, "heard", "")

    def __enter__(self) -> None:
        self._here.active, self._here.heard = True, ""

    def __exit__(self, *_: object) -> None:
        self._here.active = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._here, "active", False):
            return True
        self._here.heard = record.getMessage()
        return False


_MUTE: Final = _Mute()
