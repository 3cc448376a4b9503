"""vLLM's statistics, made by hand: what is taken of them, and that nothing about them can hurt."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

from forebay.adapters.vllm.feed import FeedLogger, attach, stat_logger
from forebay.middleware.engine_feed import EngineReading, EngineTimes


class Heard:
    def __init__(self) -> None:
        self.readings: list[tuple[int, EngineReading]] = []
        self.times: list[EngineTimes] = []

    def read(self, reading: EngineReading, engine: int = 0) -> None:
        self.readings.append((engine, reading))

    def finished(self, times: EngineTimes) -> None:
        self.times.append(times)


def step(**more: Any) -> SimpleNamespace:
    fields: dict[str, Any] = {
        "num_running_reqs": 3,
        "num_waiting_reqs": 2,
        "num_skipped_waiting_reqs": 1,
        "kv_cache_usage": 0.25,
        "prefix_cache_stats": SimpleNamespace(queries=100, hits=60),
    }
    return SimpleNamespace(**{**fields, **more})


def finished(**more: Any) -> SimpleNamespace:
    fields: dict[str, Any] = {
        "request_id": "r1",
        "queued_time": 0.5,
        "prefill_time": 1.0,
        "decode_time": 2.0,
        "mean_time_per_output_token": 0.2,
        "num_prompt_tokens": 40,
        "num_cached_tokens": 16,
        "num_generation_tokens": 11,
        "num_preemptions": 1,
    }
    return SimpleNamespace(**{**fields, **more})


def test_a_reading_adds_up_what_vllm_says_of_each_step() -> None:
    heard = Heard()
    logger = FeedLogger(heard, clock=lambda: 5.0)
    logger.record(step(), SimpleNamespace(num_preempted_reqs=2))
    logger.record(step(), None)
    logger.record(step(num_running_reqs=9), None, engine_idx=1)
    assert heard.readings[1] == (0, EngineReading(3, 3, 0.25, 200, 120, 2, 5.0))
    assert heard.readings[2] == (1, EngineReading(9, 3, 0.25, 100, 60, 0, 5.0))


def test_the_times_of_a_finished_request() -> None:
    heard = Heard()
    FeedLogger(heard).record(None, SimpleNamespace(finished_requests=[finished()]), mm_cache_stats=None, engine_idx=0)
    assert heard.readings == []
    assert heard.times == [EngineTimes("r1", 0.5, 1.0, 2.0, 1.5, 0.2, 40, 16, 11, 1)]


def test_one_token_has_no_time_for_each_after_it() -> None:
    heard = Heard()
    one = finished(num_generation_tokens=1, mean_time_per_output_token=0.0)
    FeedLogger(heard).record(None, SimpleNamespace(finished_requests=[one]))
    assert heard.times[0].tpot_s is None


@pytest.mark.parametrize("value", [-1.0, 1e9, math.nan, math.inf])
def test_a_time_that_cannot_be_is_none(value: float) -> None:
    heard = Heard()
    FeedLogger(heard).record(None, SimpleNamespace(finished_requests=[finished(queued_time=value)]))
    assert heard.times[0].queued_s == 0.0
    assert heard.times[0].ttft_s == 1.0


def test_what_a_version_does_not_have_counts_as_nothing() -> None:
    heard = Heard()
    logger = FeedLogger(heard, clock=lambda: 1.0)
    logger.record(object(), object())
    logger.record(None, SimpleNamespace(finished_requests=[object()]))
    assert heard.readings == [(0, EngineReading(now_s=1.0))]
    assert heard.times == [EngineTimes("")]


def test_nothing_raises_into_the_engine_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = FeedLogger(Heard())
    for _ in range(3):
        logger.record(step(num_running_reqs="three", num_waiting_reqs=None), None, None, 0, "new", later="too")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_factory_for_a_new_engine_makes_one_logger_an_engine() -> None:
    heard = Heard()
    factory = stat_logger(heard)
    first, second = factory("config", 0), factory("config", 1)
    for at, each in enumerate((first, second)):
        each.log_engine_initialized()
        each.record(scheduler_stats=step(), iteration_stats=None, mm_cache_stats=None, engine_idx=at)
        each.log()
        each.record_sleep_state(1, 0)
        each.record_admission_rejection("max_num_queued_reqs")
    assert [engine for engine, _ in heard.readings] == [0, 1]


def test_an_engine_that_exists_gets_one_logger_more() -> None:
    heard, others = Heard(), [object()]
    client = SimpleNamespace(logger_manager=SimpleNamespace(stat_loggers=others))
    assert attach(client, heard)
    assert len(others) == 2
    assert isinstance(others[1], FeedLogger)


@pytest.mark.parametrize(
    "client", [object(), SimpleNamespace(logger_manager=None), SimpleNamespace(logger_manager=object())]
)
def test_an_engine_without_statistics_says_nothing(client: object) -> None:
    assert not attach(client, Heard())


def test_a_step_costs_little() -> None:
    logger, iteration = FeedLogger(Heard()), SimpleNamespace(num_preempted_reqs=0, finished_requests=[finished()])
    spent: list[float] = []
    for _ in range(7):
        began = time.thread_time()
        for _ in range(200):
            logger.record(step_kept, iteration, mm_cache_stats=None, engine_idx=0)
        spent.append((time.thread_time() - began) / 200)
    assert min(spent) < 40e-6  # 5 µs where nothing else runs


step_kept = step()
