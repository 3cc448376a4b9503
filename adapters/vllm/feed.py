"""What a vLLM engine says of itself, through its stat loggers.

vLLM hands its statistics to stat loggers, after each step of the engine, on the event loop of the API process. Of the three
ways to be one of them, two are used: a factory that a new engine is given, and the list of an engine that exists. The third,
the entry-point group ``vllm.stat_logger_plugins``, would put forebay into every vLLM of the environment, wrapped or not.

vLLM calls these statistics no stable interface. So each is asked for by name and counts as zero where it is missing, and
whatever else goes wrong costs a reading, never a step of the engine.
"""

from __future__ import annotations

import logging
import math
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...middleware.engine_feed import EngineReading, EngineTimes

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
_LONGEST_S: Final = 86_400.0


class Sink(Protocol):
    """Who is told; see `EngineFeed`."""

    def read(self, reading: EngineReading, engine: int = 0) -> None:
        """Take a reading."""
        ...

    def finished(self, times: EngineTimes) -> None:
        """Take the times of a request."""
        ...


class FeedLogger:
    """A stat logger of vLLM's, for all engines of one client or for one of them."""

    def __init__(self, sink: Sink, *, clock: Callable[[], float] = monotonic) -> None:
        self._sink = sink
        self._clock = clock
        self._counts: dict[int, list[int]] = {}
        self._failed = False

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,  # noqa: ARG002  (vLLM's signature)
        engine_idx: int = 0,
        *_: Any,
        **__: Any,
    ) -> None:
        """Take what one step of an engine brought; either may be None."""
        try:
            if scheduler_stats is not None:
                self._sink.read(self._reading(scheduler_stats, iteration_stats, engine_idx), engine_idx)
            for request in getattr(iteration_stats, "finished_requests", None) or ():
                self._sink.finished(_times(request))
        except Exception:
            if not self._failed:
                log.warning("vLLM's statistics are others than expected; some are missing", exc_info=True)
            self._failed = True

    def log(self) -> None:
        """Nothing: it is a metric."""

    def log_engine_initialized(self) -> None:
        """Nothing."""

    def record_sleep_state(self, *_: Any, **__: Any) -> None:
        """Nothing: an engine that sleeps makes no steps."""

    def record_admission_rejection(self, *_: Any, **__: Any) -> None:
        """Nothing: vLLM counts its own."""

    def _reading(self, scheduler: Any, iteration: Any, engine: int) -> EngineReading:
        counts = self._counts.setdefault(engine, [0, 0, 0])
        prefixes = getattr(scheduler, "prefix_cache_stats", None)
        counts[0] += getattr(prefixes, "queries", 0)
        counts[1] += getattr(prefixes, "hits", 0)
        counts[2] += getattr(iteration, "num_preempted_reqs", 0)
        return EngineReading(
            running=getattr(scheduler, "num_running_reqs", 0),
            waiting=getattr(scheduler, "num_waiting_reqs", 0) + getattr(scheduler, "num_skipped_waiting_reqs", 0),
            kv_usage=getattr(scheduler, "kv_cache_usage", 0.0),
            prefix_queries=counts[0],
            prefix_hits=counts[1],
            preemptions=counts[2],
            now_s=self._clock(),
        )


def stat_logger(sink: Sink) -> Callable[..., FeedLogger]:
    """Return a factory of stat loggers.

    Example::

        engine = AsyncLLM.from_engine_args(args, stat_loggers=[stat_logger(feed)])
    """

    def made(vllm_config: Any = None, engine_index: int = 0) -> FeedLogger:  # noqa: ARG001  (vLLM's signature)
        return FeedLogger(sink)

    return made


def attach(client: Any, sink: Sink) -> bool:
    """Tell `sink` what an engine that exists says of itself; return False where it says nothing (``--disable-log-stats``)."""
    loggers: Any = getattr(getattr(client, "logger_manager", None), "stat_loggers", None)
    if not hasattr(loggers, "append"):
        return False
    loggers.append(FeedLogger(sink))
    return True


def _times(request: Any) -> EngineTimes:
    queued_s = _seconds(request, "queued_time")
    prefill_s = _seconds(request, "prefill_time")
    tokens = getattr(request, "num_generation_tokens", 0)
    return EngineTimes(
        request_id=str(getattr(request, "request_id", None) or ""),
        queued_s=queued_s,
        prefill_s=prefill_s,
        decode_s=_seconds(request, "decode_time"),
        ttft_s=queued_s + prefill_s,
        tpot_s=_seconds(request, "mean_time_per_output_token") if tokens > 1 else None,
        input_tokens=getattr(request, "num_prompt_tokens", 0),
        cached_tokens=getattr(request, "num_cached_tokens", 0),
        output_tokens=tokens,
        preemptions=getattr(request, "num_preemptions", 0),
    )


def _seconds(request: Any, name: str) -> float:
    """Return a time, 0 for one that cannot be: of a request that was aborted before it began, vLLM subtracts from zero."""
    value = float(getattr(request, name, 0.0))
    return value if math.isfinite(value) and 0.0 <= value <= _LONGEST_S else 0.0
