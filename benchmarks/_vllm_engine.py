"""A real vLLM for `vllm_front` and `vllm_overload`: one engine in this process, asked bare or with forebay in front of it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forebay.adapters.vllm.call import Call, calling
from forebay.adapters.vllm.engine import wrap
from forebay.adapters.vllm.feed import attach
from forebay.adapters.vllm.limits import limits_of, with_limits
from forebay.middleware.config import parse_config
from forebay.middleware.engine_feed import EngineFeed
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from forebay.adapters.vllm.engine import ForebayEngine

_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
for _name, _value in {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, _CORES[:4])),
}.items():  # before vLLM is imported, here and in the processes it starts
    os.environ.setdefault(_name, _value)

MODEL: Final = Path(sys.prefix) / "share" / "smollm2-135m-instruct"
"""Where ``python -m tests.vllm.model`` puts it."""
SLOTS: Final = 4
MAX_MODEL_LEN: Final = 2048


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        kind: names what it is compared with.
        most: tokens at which its answer is cut; `exactly`: it does not end before.
        told: the output tokens that an oracle tells, where one is asked.
    """

    kind: str
    text: str
    most: int
    exactly: bool = False
    told: int | None = None
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a request; times in seconds since it was asked, `began_s` by the clock.

    Attributes:
        steps: that the engine made until its end: like a time that does not depend on what else the machine does.
    """

    kind: str
    began_s: float
    first_s: float
    total_s: float
    tokens: int
    steps: int = 0
    refused: bool = False

    @property
    def ended_s(self) -> float:
        """When it ended."""
        return self.began_s + self.total_s

    @property
    def tpot_s(self) -> float:
        """Seconds for each token after the first."""
        return (self.total_s - self.first_s) / max(1, self.tokens - 1)


@dataclass
class Engine:
    """An engine that has started, and how to ask it."""

    bare: Any
    _steps: int = 0
    _numbers: int = 0

    def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
        """Count a step, as one of vLLM's stat loggers."""
        self._steps += scheduler_stats is not None

    def log(self) -> None:
        """Nothing."""

    log_engine_initialized = log

    def record_admission_rejection(self, *_: Any) -> None:
        """Nothing."""

    async def ask(self, engine: Any, ask: Ask, *, tenant: str = "default") -> Seen:
        """Ask the bare engine, or a wrapped one, as vLLM's server does: tokens, and beside them what they were made of."""
        self._numbers += 1
        messages = [{"role": "user", "content": ask.text}]
        tokenizer = self.bare.get_tokenizer()
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)[: MAX_MODEL_LEN - ask.most]
        sampling: Any = import_module("vllm.sampling_params")
        delta = sampling.RequestOutputKind.DELTA
        params = sampling.SamplingParams(
            temperature=0.0, max_tokens=ask.most, ignore_eos=ask.exactly, output_kind=delta
        )
        labels = {} if ask.told is None else {"told": str(ask.told)}
        began, first, tokens, steps = time.monotonic(), 0.0, 0, self._steps
        call = Call(
            messages=messages, tenant=tenant, labels=labels, params={"max_tokens": ask.most}, answers_refusals=True
        )
        try:
            with calling(call):
                engine.check_admission()  # the server does, before it does anything else
                outputs = engine.generate({"prompt_token_ids": ids}, params, f"request-{self._numbers}")
            async for output in outputs:
                first = first or time.monotonic()
                tokens += len(output.outputs[0].token_ids)
        except Exception as error:
            if not isinstance(error, _refusals()):
                raise
            return Seen(ask.kind, began, 0.0, time.monotonic() - began, 0, refused=True)
        return Seen(ask.kind, began, first - began, time.monotonic() - began, tokens, self._steps - steps)

    async def burst(self, engine: Any, asks: Sequence[Ask]) -> list[Seen]:
        """Ask all at once."""
        await self.bare.reset_prefix_cache()
        return await asyncio.gather(*(self.ask(engine, ask) for ask in asks))

    async def closed(self, engine: Any, asks: Sequence[Ask], clients: int) -> list[Seen]:
        """Let so many clients ask, each the next one as soon as it has its answer."""
        await self.bare.reset_prefix_cache()
        waiting, seen = iter(asks), list[Seen]()

        async def client() -> None:
            for ask in waiting:
                seen.append(await self.ask(engine, ask))

        await asyncio.gather(*(client() for _ in range(clients)))
        return seen

    async def opened(self, engine: Any, asks: Sequence[Ask]) -> list[Seen]:
        """Ask each at its time, whatever became of earlier ones; returned in their order."""
        await self.bare.reset_prefix_cache()
        zero_s = time.monotonic() - asks[0].at_s

        async def one(ask: Ask) -> Seen:
            await asyncio.sleep(max(0.0, zero_s + ask.at_s - time.monotonic()))
            return await self.ask(engine, ask)

        return await asyncio.gather(*(one(ask) for ask in asks))


def _refusals() -> Any:
    return import_module("vllm.exceptions").GracefulHTTPError


@asynccontextmanager
async def engine(model: Path, **options: Any) -> AsyncGenerator[Engine]:
    """Start vLLM; it is gone afterwards."""
    given = {"model": str(model), "dtype": "bfloat16", "enforce_eager": True, "max_model_len": MAX_MODEL_LEN}
    given |= {"max_num_seqs": SLOTS, "disable_log_stats": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = import_module("vllm.engine.arg_utils").AsyncEngineArgs(**given)
        bare = import_module("vllm.v1.engine.async_llm").AsyncLLM.from_engine_args(asked)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    try:
        running = Engine(bare)
        bare.logger_manager.stat_loggers.append(running)
        yield running
    finally:
        bare.shutdown()


@asynccontextmanager
async def fronted(
    running: Engine, settings: Mapping[str, Any], *, state: Path | None = None, plugins: Sequence[object] = ()
) -> AsyncGenerator[ForebayEngine]:
    """Put forebay in front as ``forebay vllm serve`` does: with the engine's limits, and with its statistics.

    Args:
        state: folder of what was learned earlier, None for a new one.
    """
    manager = PluginManager.from_entry_points()
    for at, plugin in enumerate(plugins):
        manager.register(plugin, f"benchmark-{at}")
    loggers: list[Any] = running.bare.logger_manager.stat_loggers
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config({"state_dir": str(state or folder), **settings}, environ={})
        runtime = Runtime(with_limits(config, limits_of(running.bare.vllm_config)), manager)
        wrapped = wrap(running.bare, runtime=runtime)
        await runtime.start()
        attach(running.bare, EngineFeed(runtime.telemetry))
        fed = loggers[-1]
        try:
            await wrapped.start()
            yield wrapped
        finally:
            loggers.remove(fed)
            await runtime.stop()
