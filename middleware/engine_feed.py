"""What an engine says of itself while it works: how full it is, and how long each request took inside.

An adapter that sits in the engine's process hands it over, and it goes into the metrics. The cost model is not taught by it:
fitted to when the engine itself began a request, instead of when it was given one, the law of either recorded run
(``benchmarks/cost_model.py``) predicts no better.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import semconv
from .telemetry import ENGINES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .telemetry import Telemetry

MOST: Final = 256
"""Engines (data-parallel ranks) of which readings are kept."""
MOST_ENDED: Final = 16_384
"""Requests that may end between two exports, one a minute by default; of more, the times of the first are lost."""


@dataclass(frozen=True, slots=True)
class EngineReading:
    """How full an engine is.

    Attributes:
        running, waiting: requests that it works on, and that wait inside it.
        kv_usage: share of its KV cache that is taken, in [0, 1].
        prefix_queries, prefix_hits: prompt tokens that were looked up in its prefix cache, and found, since it started.
        preemptions: how often it took a request's KV cache away, to compute it anew, since it started.
        now_s: when this was so, monotonic.
    """

    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    now_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """How long a request took that an engine has finished, by the engine's own clock.

    Attributes:
        request_id: as the engine was given it; several of one request with more than one choice.
        queued_s: it waited inside; prefill_s: until its first token; decode_s: from there to its last.
        ttft_s: waiting and prefill.
        tpot_s: for each token after the first, None where there is none.
        input_tokens, cached_tokens: of the prompt, and of those the ones that the prefix cache had.
    """

    request_id: str
    queued_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    ttft_s: float = 0.0
    tpot_s: float | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    preemptions: int = 0


class EngineFeed:
    """Takes what engines say, into the metrics.

    Args:
        about: labels of each time, few and of a bounded set.

    Attributes:
        last: of each engine, by its number.
    """

    def __init__(self, telemetry: Telemetry, about: Mapping[str, str] | None = None) -> None:
        self._telemetry = telemetry
        self._about: dict[str, Any] = dict(about or {})
        self._ended = deque[EngineTimes](maxlen=MOST_ENDED)
        self.last: dict[int, EngineReading] = {}
        telemetry.observe(self.readings, ENGINES)

    def read(self, reading: EngineReading, engine: int = 0) -> None:
        """Take a reading."""
        if engine in self.last or len(self.last) < MOST:
            self.last[engine] = reading

    def finished(self, times: EngineTimes) -> None:
        """Take the times of a request."""
        if self._telemetry.enabled:
            self._ended.append(times)

    def readings(self) -> list[tuple[str, str, float]]:
        """Return the last reading of each engine as (metric, engine, value). Runs in the metrics reader's thread."""
        self._count_ended()
        return [
            (name, str(engine), float(value))
            for engine, last in list(self.last.items())
            for name, value in (
                (semconv.METRIC_RUNNING, last.running),
                (semconv.METRIC_WAITING, last.waiting),
                (semconv.METRIC_KV_USAGE, last.kv_usage),
                (semconv.METRIC_PREFIX_QUERIES, last.prefix_queries),
                (semconv.METRIC_PREFIX_HITS, last.prefix_hits),
                (semconv.METRIC_PREEMPTIONS, last.preemptions),
            )
        ]

    def _count_ended(self) -> None:
        """Put what ended into the histograms: 30 µs a request, for which no step of an engine shall wait."""
        seconds = self._telemetry.seconds
        with suppress(IndexError):  # another reader was faster
            while self._ended:
                times = self._ended.popleft()
                seconds(semconv.METRIC_ENGINE_QUEUE_SECONDS, times.queued_s)
                seconds(semconv.METRIC_TTFT, times.ttft_s, **self._about)
                if times.tpot_s is not None:
                    seconds(semconv.METRIC_TPOT, times.tpot_s, **self._about)
