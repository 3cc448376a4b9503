"""``/forebay/status``: what forebay is doing, for an operator."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ...middleware import semconv
from ...middleware.records import Mode
from ...middleware.version import __version__

if TYPE_CHECKING:
    from ...middleware.records import JsonObject
    from ...middleware.runtime import Runtime

STATUS: Final = "/forebay/status"
_FIELDS: Final = {
    semconv.METRIC_QUEUED: "queued",
    semconv.METRIC_INSIDE: "inside",
    semconv.METRIC_PLACES: "places",
    semconv.METRIC_RESERVED: "reserved_tokens",
}


async def status_of(runtime: Runtime | None) -> JsonObject:
    """Return how a runtime is, as JSON; None is one that has not started.

    ``requests`` are counted by their ``x-forebay-cache``, since the start.
    """
    if runtime is None:
        return {"version": __version__, "ready": False}
    load = runtime.pipeline.gate.load
    found = await runtime.check_ready()
    return {
        "version": __version__,
        "ready": True,
        "mode": Mode.OFF.value if runtime.modes.killed() else runtime.config.mode.value,
        "load": {"inflight": runtime.pipeline.inflight, "inside": load.inflight, "queued": load.queued},
        "requests": requests_of(runtime),
        "lanes": _lanes(runtime),
        "problems": list(runtime.problems),
        "components": {name: spec.type for name, spec in runtime.specs()},
        "findings": [{"name": one.name, "ok": one.ok, "detail": one.detail, "fix": one.fix} for one in found],
    }


def requests_of(runtime: Runtime) -> dict[str, int]:
    """Return how many requests had each status."""
    found: Counter[str] = Counter()
    for (metric, *labels), count in runtime.telemetry.counts.items():
        if metric == semconv.METRIC_REQUESTS:
            found[dict(label.split("=", 1) for label in labels)["status"]] += count
    return dict(found)


def _lanes(runtime: Runtime) -> list[dict[str, Any]]:
    lanes: dict[str, dict[str, Any]] = {}
    for metric, lane, value in runtime.pipeline.gate.readings():
        if metric in _FIELDS:
            lanes.setdefault(lane, {"lane": lane})[_FIELDS[metric]] = int(value)
    return list(lanes.values())
