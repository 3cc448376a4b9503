"""The built-in span exporter: OTLP over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, SecretStr

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import EXPORTER, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Exporter


class OTLPSettings(Settings):
    """Where spans go.

    Attributes:
        endpoint: the collector, for example ``http://localhost:4318``; ``/v1/traces`` is appended where missing.
        headers: sent with every export, for example a collector's API key.
        sample_ratio: share of traces to record; a caller that sends a ``traceparent`` decides itself.
        timeout_s: the longest one export may take.
    """

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]")] = "http://localhost:4318"
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 1.0


def _make_otlp(settings: OTLPSettings, build: Build) -> Exporter:  # noqa: ARG001
    from ..adapters.otlp.exporter import OTLPExporter

    return OTLPExporter(
        settings.endpoint,
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
        sample_ratio=settings.sample_ratio,
        timeout_s=settings.timeout_s,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the exporter."""
    registry.add(EXPORTER, "otlp", _make_otlp, settings=OTLPSettings, extra="otel")
