"""The real vLLM, without types: they are in its environment, and type checkers run in one that has no vLLM."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from tests.vllm.model import FOLDER

# two slots a core make a queue with few requests; by priority, requests of equal priority still go first come, first served
OPTIONS: Final[dict[str, Any]] = {
    "model": str(FOLDER),
    "dtype": "float32",  # in bfloat16 the likeliest token depends on which requests share a step
    "enforce_eager": True,  # compiling takes longer than all tests together
    "max_model_len": 2048,
    "max_num_seqs": 4,
    "scheduling_policy": "priority",
    "disable_log_stats": False,
}
_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default is a share of all memory, for each engine
    # one core is kept free by default, which on two cores halves the engine
    "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, _CORES[:4])),
}


@contextmanager
def its_own_warnings() -> Generator[None]:
    """Let pass what vLLM and torch warn of while they are imported and start; pytest would make it errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def module(name: str = "vllm") -> Any:
    """Return a module of vLLM's."""
    with its_own_warnings():
        return importlib.import_module(name)


def sampling(**fields: Any) -> Any:
    """Return SamplingParams that give equal prompts equal tokens, but for what ``fields`` say otherwise."""
    return module().SamplingParams(**{"temperature": 0.0, "max_tokens": 24, **fields})
