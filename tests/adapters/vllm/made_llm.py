"""Wrapped fakes of vLLM's LLM, and what tests of them compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay.adapters.vllm.fake import fake_names
from forebay.adapters.vllm.fake_llm import FakeLLM
from forebay.adapters.vllm.fake_types import SamplingParams
from forebay.adapters.vllm.offline import ForebayLLM
from forebay.middleware.config import parse_config
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT: dict[str, Any] = {"cache": {"semantic": "off"}}
OF_THE_CALL = {"request_id", "metrics", "num_cached_tokens", "num_cache_creation_tokens"}


def wrapped(
    folder: str, fake: FakeLLM | None = None, config: dict[str, Any] | None = None, *more: object
) -> ForebayLLM:
    manager = PluginManager.from_entry_points()
    for at, plugin in enumerate(more):
        manager.register(plugin, f"given-{at}")
    parts = {"state_dir": folder, "store": {"type": "memory"}, "embedder": {"type": "hashing"}}
    made = Runtime(parse_config({**parts, **(config or EXACT)}, environ={}), manager)
    return ForebayLLM(fake or FakeLLM(), made, fake_names())


def greedy(**more: Any) -> Any:
    asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": 64, **more}
    return SamplingParams(**asked)


def told(outputs: Sequence[Any]) -> list[dict[str, Any]]:
    """What outputs say beside what is of their calls."""
    said: list[dict[str, Any]] = [vars(one) for one in outputs]
    return [{name: value for name, value in one.items() if name not in OF_THE_CALL} for one in said]


def added(llm: ForebayLLM) -> int:
    return len(llm.llm_engine.added)


def turns(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]
