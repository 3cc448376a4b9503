"""What limits a vLLM engine, by its own configuration, and what that makes of forebay's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.config import Spec

if TYPE_CHECKING:
    from ...middleware.config import Config

_BY_NUMBERS: Final = ("goodput", "fixed", "tokens")
"""The limits that take `max_inflight` and, but for "fixed", `kv_tokens`."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an engine holds; of several data-parallel ones, all together.

    Attributes:
        max_num_seqs: requests that it works on at a time.
        kv_tokens: tokens that its KV cache holds; None where it does not say.
        max_num_batched_tokens: of one step, of each engine.
        block_size: tokens of one block of the KV cache.
    """

    max_num_seqs: int | None = None
    kv_tokens: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None


def limits_of(vllm_config: Any) -> EngineLimits:
    """Return the limits of an engine that has started: before, it does not know its KV cache."""
    scheduler, cache = getattr(vllm_config, "scheduler_config", None), getattr(vllm_config, "cache_config", None)
    parallel = getattr(vllm_config, "parallel_config", None)
    of_this = "data_parallel_size_local" if getattr(parallel, "local_engines_only", False) else "data_parallel_size"
    engines = _count(parallel, of_this) or 1
    seqs, block_size = _count(scheduler, "max_num_seqs"), _count(cache, "block_size")
    kv_tokens = _count(cache, "kv_cache_size_tokens")  # vLLM's own sum: layers may differ in what they keep of a token
    if kv_tokens is None:
        blocks = _count(cache, "num_gpu_blocks")  # those of all engines; one of each stays empty
        kv_tokens = None if blocks is None or block_size is None else max(blocks - engines, 1) * block_size
    else:
        kv_tokens *= engines
    return EngineLimits(
        max_num_seqs=None if seqs is None else seqs * engines,
        kv_tokens=kv_tokens,
        max_num_batched_tokens=_count(scheduler, "max_num_batched_tokens"),
        block_size=block_size,
    )


def with_limits(config: Config, limits: EngineLimits) -> Config:
    """Return the configuration with what the engine says itself, where the file says nothing else.

    A limit is the default here, "goodput", and not in front of servers elsewhere: what waits in vLLM can be neither ordered by
    forebay nor answered by a twin, and here the engine's own number of places is known, so that no guess keeps it idle.
    """
    numbers = {"max_inflight": limits.max_num_seqs, "kv_tokens": limits.kv_tokens}
    changed: dict[str, Any] = {}
    given = config.limit if "limit" in config.model_fields_set else Spec(type="goodput")
    if given.type in _BY_NUMBERS:
        wanted = ("max_inflight",) if given.type == "fixed" else tuple(numbers)
        known = {name: numbers[name] for name in wanted if numbers[name] is not None}
        changed["limit"] = Spec(type=given.type, **{**known, **given.settings})
    changed["predictors"] = tuple(_knowing(spec, limits) if spec.type == "work" else spec for spec in config.predictors)
    return config.model_copy(update=changed)


def _knowing(work: Spec, limits: EngineLimits) -> Spec:
    """Return the settings of the cost model, with this engine as the one of all models that they name none for."""
    names = ("max_num_seqs", "kv_tokens", "max_num_batched_tokens", "block_size")
    known = {name: value for name in names if (value := getattr(limits, name)) is not None}
    if known.get("max_num_batched_tokens", 0) < known.get("max_num_seqs", 0):
        known.pop("max_num_batched_tokens", None)
        known.pop("max_num_seqs", None)
    engines = dict(work.settings.get("engines") or {})
    engines.setdefault("*", known)
    return Spec(type=work.type, **{**work.settings, "engines": engines})


def _count(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and value > 0 else None
