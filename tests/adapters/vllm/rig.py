"""A wrapped fake engine, and reading what it says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forebay.adapters.vllm.engine import ForebayEngine
from forebay.adapters.vllm.fake import FakeEngine, fake_names
from forebay.adapters.vllm.fake_types import RequestOutputKind, SamplingParams
from forebay.testing import started
from tests.middleware.parts import settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.middleware.runtime import Runtime

NAMES = fake_names()
LIMITED: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 2}}
IDS = [1, 2, 3, 4]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_tokens": 64}


@asynccontextmanager
async def wrapped(fake: FakeEngine, config: dict[str, Any] | None = None) -> AsyncGenerator[ForebayEngine]:
    async with started(config or LIMITED) as runtime:
        yield ForebayEngine(fake, runtime, NAMES, owns=False)


def params(kind: RequestOutputKind = RequestOutputKind.DELTA, **given: Any) -> Any:
    fields: dict[str, Any] = {**GREEDY, "output_kind": kind, **given}
    return SamplingParams(**fields)


def prompt(ids: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "token", "prompt_token_ids": list(ids or IDS), **more}


async def read(engine: ForebayEngine, name: str = "r", asked: Any = None, of: Any = None, **given: Any) -> list[Any]:
    generated = engine.generate(of or prompt(), asked or params(), name, **given)
    return [output async for output in generated]


def told(outputs: list[Any], kind: RequestOutputKind = RequestOutputKind.DELTA) -> list[tuple[str, list[int], Any]]:
    """What each choice says in the end."""
    said: dict[int, tuple[str, list[int], Any]] = {}
    for output in outputs:
        for one in output.outputs:
            text, ids, _ = said.get(one.index, ("", [], None))
            if kind is not RequestOutputKind.DELTA:
                text, ids = "", []
            said[one.index] = (text + one.text, [*ids, *one.token_ids], one.finish_reason)
    return [said[index] for index in sorted(said)]


async def calm(runtime: Runtime) -> None:
    await settled(runtime)
    assert runtime.pipeline.inflight == 0
    assert runtime.pipeline.gate.load.inflight == 0
