"""A wrapped engine beside the bare one: equal tokens where it computes, the first answer where it does not, and nothing left."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from forebay.adapters.vllm.call import Call, calling
from forebay.adapters.vllm.engine import ForebayEngine, wrap
from forebay.middleware.config import parse_config
from tests.vllm.real import module, sampling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = itertools.count()
KINDS = ("FINAL_ONLY", "DELTA", "CUMULATIVE")
SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
CASES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "n=2": {"n": 2, "temperature": 0.8, "seed": 7},
    "logprobs": {"logprobs": 3},
    "prompt logprobs": {"prompt_logprobs": 2, "logprobs": 1},
    "stop string": {"stop": ["of"], "include_stop_str_in_output": True},
    "penalties": {"repetition_penalty": 1.1, "presence_penalty": 0.4, "logit_bias": {5: -2.0}},
    "flat logprobs": {"logprobs": 2, "flat_logprobs": True},
    "schema": {"structured_outputs": SCHEMA},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wrapped(engine: Any) -> AsyncIterator[ForebayEngine]:
    config = {
        "store": {"type": "memory"},
        "embedder": {"type": "hashing"},
        "limit": {"type": "fixed", "max_inflight": 4},
        "cache": {"semantic": "off"},
    }
    with tempfile.TemporaryDirectory() as folder:
        made = wrap(engine, parse_config({**config, "state_dir": folder}))
        yield made
        await made.stop()


def asked(kind: str, **fields: Any) -> Any:
    of = module("vllm.sampling_params")
    schema = fields.pop("structured_outputs", None)
    if schema is not None:
        fields["structured_outputs"] = of.StructuredOutputsParams(json=schema)
    return sampling(**{"max_tokens": 120, **fields, "output_kind": of.RequestOutputKind[kind]})


def prompt(engine: Any, text: str, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": text}]
    ids = engine.get_tokenizer().apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return {"type": "token", "prompt_token_ids": list(ids), **more}


async def read(engine: Any, of: dict[str, Any], params: Any) -> list[Any]:
    return [output async for output in engine.generate(dict(of), params, f"w{next(NAMES)}")]


def choices(outputs: list[Any], kind: str) -> list[dict[str, Any]]:
    """What each choice is in the end."""
    found: dict[int, dict[str, Any]] = {}
    for output in outputs:
        for one in output.outputs:
            before = found.get(one.index) if kind == "DELTA" else None
            told = {
                "text": one.text,
                "token_ids": list(one.token_ids),
                "logprobs": None if one.logprobs is None else list(one.logprobs),
            }
            if before is not None:
                told = {name: None if value is None else before[name] + value for name, value in told.items()}
            told |= {name: getattr(one, name) for name in ("cumulative_logprob", "finish_reason", "stop_reason")}
            found[one.index] = told
    return [found[index] for index in sorted(found)]


def unfinished(engine: Any) -> int:
    return int(engine.output_processor.get_num_unfinished_requests())


async def calm(engine: ForebayEngine) -> None:
    """Wait until nothing is left, in forebay and in the engine."""
    pipeline = engine.runtime.pipeline
    async with asyncio.timeout(20):
        while pipeline.inflight or unfinished(engine):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await pipeline.drain(5.0)
    assert pipeline.gate.load.inflight == pipeline.gate.load.queued == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
async def test_a_miss_equals_the_bare_engine_and_a_hit_the_miss(
    engine: Any, wrapped: ForebayEngine, case: str, kind: str
) -> None:
    of = prompt(engine, f"What is the capital of France? ({case}, {kind})")
    bare = await read(engine, of, asked(kind, **CASES[case]))
    first = await read(wrapped, of, asked(kind, **CASES[case]))
    await calm(wrapped)
    again = await read(wrapped, of, asked(kind, **CASES[case]))
    assert [one["token_ids"] for one in choices(first, kind)] == [one["token_ids"] for one in choices(bare, kind)]
    assert choices(again, kind) == choices(first, kind)
    assert again[0].prompt_logprobs == first[0].prompt_logprobs
    assert again[-1].finished
    if {one["finish_reason"] for one in choices(first, kind)} == {"stop"}:
        assert again[-1].num_cached_tokens == len(of["prompt_token_ids"])  # none of it was computed
    if case == "schema":
        assert json.loads(choices(again, kind)[0]["text"])["city"] in {"Paris", "Rome"}


async def test_twins_share_one_call_live(engine: Any, wrapped: ForebayEngine) -> None:
    of, params = prompt(engine, "Count from one to twelve."), asked("DELTA", max_tokens=40)
    firsts: list[float] = []
    most = 0

    async def one() -> list[Any]:
        nonlocal most
        outputs: list[Any] = []
        async for output in wrapped.generate(dict(of), params, f"t{next(NAMES)}"):
            if not outputs:
                firsts.append(asyncio.get_running_loop().time())
            most = max(most, unfinished(engine))
            outputs.append(output)
        return outputs

    many = await asyncio.gather(*(one() for _ in range(12)))
    ended = asyncio.get_running_loop().time()
    assert most == 1
    assert len({tuple(choices(outputs, "DELTA")[0]["token_ids"]) for outputs in many}) == 1
    assert max(firsts) - min(firsts) < ended - max(firsts)  # nobody waited for the whole
    await calm(wrapped)


async def test_tenants_share_neither_answers_nor_prefixes(engine: Any, wrapped: ForebayEngine) -> None:
    of = prompt(engine, "Name a river. " + "It should be a long and well known one. " * 30)
    cached: list[int] = []
    for tenant in ("one", "two", "one"):
        with calling(Call(tenant=tenant)):
            outputs = await read(wrapped, of, asked("FINAL_ONLY", max_tokens=4))  # cut, so that it is not kept
        cached.append(outputs[-1].num_cached_tokens or 0)
        await calm(wrapped)
    assert cached[0] == cached[1] == 0
    assert cached[2] > 0


async def test_a_break_and_a_cancel_free_the_engine_within_a_second(engine: Any, wrapped: ForebayEngine) -> None:
    params = asked("DELTA", max_tokens=1500, ignore_eos=True)
    generated = wrapped.generate(prompt(engine, "Tell a story."), params, "broken")
    async for _ in generated:
        break
    async with asyncio.timeout(1):
        while unfinished(engine):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task = asyncio.create_task(read(wrapped, prompt(engine, "Tell another."), params))
    while not unfinished(engine):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    async with asyncio.timeout(1):
        while unfinished(engine):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await calm(wrapped)


async def test_three_hundred_random_leavers_leave_nothing(engine: Any, wrapped: ForebayEngine) -> None:
    """Streaming, queued, leaders and followers of twins: whenever they leave, others get theirs and nothing partial is kept."""
    chance = random.Random(5)
    stored = await wrapped.runtime.keeper.store.count()
    texts = [prompt(engine, f"Write about the number {number}.") for number in range(12)]
    left = 0

    async def leaver() -> None:
        params = asked(chance.choice(KINDS), max_tokens=chance.randint(20, 60), ignore_eos=True)
        task = asyncio.create_task(read(wrapped, chance.choice(texts), params))
        await asyncio.wait([task], timeout=chance.random() * 0.4)
        task.cancel()
        await asyncio.wait([task])

    async def stayer(number: int) -> list[Any]:
        return await read(wrapped, texts[number], asked("DELTA", max_tokens=12))

    stayers: list[asyncio.Task[list[Any]]] = []
    while left < 300:
        await asyncio.gather(*(leaver() for _ in range(20)))
        left += 20
        if left % 100 == 0:
            stayers.append(asyncio.create_task(stayer(left // 100)))
    async with asyncio.timeout(60):
        assert all(outputs[-1].finished for outputs in await asyncio.gather(*stayers))
    await calm(wrapped)
    assert await wrapped.runtime.keeper.store.count() == stored  # all were cut, by their leavers or by their limits


async def test_it_is_one_of_vllms_engine_clients(wrapped: ForebayEngine) -> None:
    assert isinstance(wrapped, module("vllm.engine.protocol").EngineClient)
    assert await wrapped.is_tracing_enabled() is False
    await wrapped.check_health()
