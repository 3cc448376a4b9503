"""What limits an engine, and what that makes of the configuration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from forebay.adapters.vllm.limits import EngineLimits, limits_of, with_limits
from forebay.middleware.config import Config, parse_config

LIMITS = EngineLimits(max_num_seqs=64, kv_tokens=40_000, max_num_batched_tokens=2048, block_size=16)


def engine(*, parallel: dict[str, Any] | None = None, **cache: Any) -> SimpleNamespace:
    fields = {"block_size": 16, "num_gpu_blocks": 101, "kv_cache_size_tokens": None}
    return SimpleNamespace(
        scheduler_config=SimpleNamespace(max_num_seqs=8, max_num_batched_tokens=512),
        cache_config=SimpleNamespace(**{**fields, **cache}),
        parallel_config=SimpleNamespace(**(parallel or {"data_parallel_size": 1})),
    )


def parsed(**data: Any) -> Config:
    return parse_config(data, environ={})


def work(config: Config) -> Any:
    return next(spec for spec in config.predictors if spec.type == "work").settings


def test_the_limits_of_an_engine() -> None:
    assert limits_of(engine()) == EngineLimits(8, 1600, 512, 16)
    assert limits_of(engine(kv_cache_size_tokens=5000)) == EngineLimits(8, 5000, 512, 16)


def test_several_engines_of_one_client_count_together() -> None:
    two = {"data_parallel_size": 2, "data_parallel_size_local": 1}
    assert limits_of(engine(parallel=two)) == EngineLimits(16, 1584, 512, 16)
    assert limits_of(engine(parallel=two, kv_cache_size_tokens=5000)).kv_tokens == 10_000
    own = {**two, "local_engines_only": True}
    assert limits_of(engine(parallel=own, kv_cache_size_tokens=5000)) == EngineLimits(8, 5000, 512, 16)


def test_what_an_engine_does_not_say_is_not_known() -> None:
    assert limits_of(object()) == EngineLimits()
    assert limits_of(engine(num_gpu_blocks=None)).kv_tokens is None
    assert limits_of(engine(block_size="auto")).block_size is None


def test_goodput_is_the_default_with_the_engines_own_numbers() -> None:
    config = with_limits(parsed(), LIMITS)
    assert config.limit.type == "goodput"
    assert config.limit.settings == {"max_inflight": 64, "kv_tokens": 40_000}


def test_a_limit_that_is_named_stays_and_gets_what_it_leaves_open() -> None:
    fixed = with_limits(parsed(limit={"type": "fixed"}), LIMITS).limit
    assert (fixed.type, fixed.settings) == ("fixed", {"max_inflight": 64})
    tokens = with_limits(parsed(limit={"type": "tokens", "kv_tokens": 100}), LIMITS).limit
    assert tokens.settings == {"kv_tokens": 100, "max_inflight": 64}
    assert with_limits(parsed(limit={"type": "none"}), LIMITS).limit == parsed(limit={"type": "none"}).limit


def test_the_cost_model_learns_what_the_engine_holds() -> None:
    known = {"max_num_seqs": 64, "kv_tokens": 40_000, "max_num_batched_tokens": 2048, "block_size": 16}
    assert work(with_limits(parsed(), LIMITS)) == {"engines": {"*": known}}
    named = {"engines": {"*": {"max_num_seqs": 3}}, "prices": {"*": {"input": 1, "output": 2}}}
    assert work(with_limits(parsed(predictors={"work": named}), LIMITS)) == named


def test_data_parallel_engines_that_do_not_fit_one_shape_are_left_open() -> None:
    many = EngineLimits(max_num_seqs=4096, kv_tokens=40_000, max_num_batched_tokens=2048, block_size=16)
    assert work(with_limits(parsed(), many)) == {"engines": {"*": {"kv_tokens": 40_000, "block_size": 16}}}


def test_an_engine_that_says_nothing_still_gets_a_limit() -> None:
    config = with_limits(Config(), EngineLimits())
    assert (config.limit.type, config.limit.settings) == ("goodput", {})
    assert [spec.type for spec in config.predictors] == [spec.type for spec in Config().predictors]
