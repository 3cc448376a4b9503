"""The statistics of vLLM 0.32, taken from the real engine: no field that the feed asks for by name has gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.vllm.feed import FeedLogger, attach, stat_logger
from forebay.adapters.vllm.limits import limits_of
from tests.vllm.real import OPTIONS, module, sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.middleware.engine_feed import EngineReading, EngineTimes

PROMPT = list(range(1000, 1300))  # two blocks of 128 tokens and a bit


class Heard:
    def __init__(self) -> None:
        self.readings: list[EngineReading] = []
        self.times: dict[str, EngineTimes] = {}

    def read(self, reading: EngineReading, engine: int = 0) -> None:
        assert engine == 0
        self.readings.append(reading)

    def finished(self, times: EngineTimes) -> None:
        self.times[times.request_id] = times


@pytest.fixture
def heard(engine: Any) -> Iterator[Heard]:
    made = Heard()
    assert attach(engine, made)
    yield made
    engine.logger_manager.stat_loggers.pop()


async def ask(engine: Any, name: str, **fields: Any) -> None:
    async for _ in engine.generate({"prompt_token_ids": PROMPT}, sampling(ignore_eos=True, **fields), name):
        pass


async def test_an_engine_says_how_full_it_is_and_how_long_each_took(engine: Any, heard: Heard) -> None:
    await engine.reset_prefix_cache()
    names = [f"feed-{at}" for at in range(6)]  # of which four have a place
    await asyncio.gather(*(ask(engine, name, max_tokens=8) for name in names))
    await ask(engine, "feed-again", max_tokens=1)
    busiest = max(heard.readings, key=lambda reading: reading.running)
    assert busiest.running == OPTIONS["max_num_seqs"]
    assert max(reading.waiting for reading in heard.readings) >= 2
    assert 0 < max(reading.kv_usage for reading in heard.readings) < 1
    last = heard.readings[-1]
    assert (last.running, last.waiting, last.preemptions) == (0, 0, 0)
    assert last.prefix_queries == 7 * len(PROMPT)
    assert 0 < last.prefix_hits < last.prefix_queries

    assert set(heard.times) == {*names, "feed-again"}
    first, again = heard.times[names[0]], heard.times["feed-again"]
    assert (first.input_tokens, first.output_tokens) == (len(PROMPT), 8)
    assert first.prefill_s > 0
    assert first.decode_s > 0
    assert first.tpot_s == pytest.approx(first.decode_s / 7)
    assert first.ttft_s == first.queued_s + first.prefill_s
    # two had to wait until others were done, and began to at about the time when those began
    assert max(times.queued_s for times in heard.times.values()) > first.decode_s / 2
    assert (again.output_tokens, again.tpot_s, again.cached_tokens) == (1, None, 256)


async def test_an_aborted_request_is_in_the_engine_no_more(engine: Any, heard: Heard) -> None:
    calls = engine.generate({"prompt_token_ids": PROMPT}, sampling(max_tokens=500, ignore_eos=True), "feed-aborted")
    await anext(calls)
    await calls.aclose()
    await ask(engine, "feed-after", max_tokens=2)
    assert heard.readings[-1].running == 0


def test_vllm_takes_the_factory_for_a_stat_logger(engine: Any) -> None:
    heard = Heard()
    manager = module("vllm.v1.metrics.loggers").PerEngineStatLoggerAdapter(engine.vllm_config, [0], stat_logger(heard))
    stats = module("vllm.v1.metrics.stats")
    manager.record(stats.SchedulerStats(num_running_reqs=2), stats.IterationStats(), engine_idx=0)
    manager.log()
    assert heard.readings[0].running == 2


def test_a_stat_logger_has_all_that_vllm_calls() -> None:
    base = module("vllm.v1.metrics.loggers").AggregateStatLoggerBase
    theirs: list[str] = dir(base)
    called = {name for name in theirs if not name.startswith("_") and name != "register"}
    assert called == {name for name in vars(FeedLogger) if not name.startswith("_")}


def test_the_limits_are_those_that_the_engine_was_started_with(engine: Any) -> None:
    limits = limits_of(engine.vllm_config)
    assert limits.max_num_seqs == OPTIONS["max_num_seqs"]
    assert limits.block_size == 128
    assert limits.kv_tokens is not None
    assert limits.kv_tokens > 10_000
    assert limits.max_num_batched_tokens is not None
