"""Spans as they arrive in an OTLP export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value: TypeAlias = str | bool | int | float | bytes | tuple[Any, ...] | dict[str, Any] | None
_KINDS: Final[tuple[str, ...]] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_ERROR: Final = 2
_Export: Any = trace_service_pb2.ExportTraceServiceRequest  # generated code: untyped from here on


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment of a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to a span that is not the parent."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """One received span.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits, "" for a root.
        kind: internal, server, client, producer, consumer or unspecified.
        service: the resource's ``service.name``.
        start_ns: Unix time in nanoseconds, like `end_ns`.
        error: whether its status is an error.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    error: bool = False

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e6


def decode(body: bytes) -> list[Span]:
    """Return the spans of one ``ExportTraceServiceRequest``.

    Raises:
        ValueError: the bytes are none.
    """
    try:
        export = _Export.FromString(body)
    except Exception as error:  # protobuf's own error type differs between its implementations
        msg = "not an ExportTraceServiceRequest"
        raise ValueError(msg) from error
    return [
        _span(raw, str(_attributes(resource.resource.attributes).get("service.name", "")))
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for raw in scope.spans
    ]


def _span(raw: Any, service: str) -> Span:
    return Span(
        trace_id=raw.trace_id.hex(),
        span_id=raw.span_id.hex(),
        parent_id=raw.parent_span_id.hex(),
        name=raw.name,
        kind=dict(enumerate(_KINDS)).get(int(raw.kind), _KINDS[0]),
        service=service,
        start_ns=raw.start_time_unix_nano,
        end_ns=raw.end_time_unix_nano,
        attributes=_attributes(raw.attributes),
        events=tuple(Event(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in raw.events),
        links=tuple(Link(link.trace_id.hex(), link.span_id.hex()) for link in raw.links),
        error=raw.status.code == _ERROR,
    )


def _attributes(pairs: Iterable[Any]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Value:
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    plain: Value = getattr(value, which)
    return plain
