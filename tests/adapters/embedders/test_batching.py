from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from forebay.adapters.embedders.batching import Batcher
from forebay.middleware.errors import EmbedderError
from forebay.middleware.records import Vector

ASKING: ContextVar[str] = ContextVar("asking", default="nobody")


class Model:
    """Answers when it is let go, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.askers: list[str] = []
        self.open = asyncio.Event()

    async def compute(self, texts: Sequence[str]) -> list[Vector | EmbedderError]:
        self.batches.append(list(texts))
        self.askers.append(ASKING.get())
        await self.open.wait()
        return [EmbedderError("refused") if text == "bad" else (float(len(text)),) for text in texts]


def batcher(model: Model, *, lanes: int = 1, memo: int = 100) -> Batcher:
    return Batcher(model.compute, max_batch=4, lanes=lanes, memo=memo)


async def asked(batches: Batcher, *texts: str) -> list[asyncio.Task[list[Vector]]]:
    """Let callers come one after the other, each until it waits."""
    tasks: list[asyncio.Task[list[Vector]]] = []
    for text in texts:
        tasks.append(asyncio.create_task(batches.embed([text])))
        for _ in range(3):
            await asyncio.sleep(0)
    return tasks


async def test_lanes_run_at_once_and_the_rest_waits_together() -> None:
    model = Model()
    tasks = await asked(batcher(model, lanes=2), "a", "b", "c", "d", "e")
    assert model.batches == [["a"], ["b"]]
    model.open.set()
    await asyncio.gather(*tasks)
    assert model.batches == [["a"], ["b"], ["c", "d", "e"]]


async def test_what_one_caller_brings_goes_into_all_lanes() -> None:
    model = Model()
    many = asyncio.create_task(batcher(model, lanes=2).embed([f"{number}" for number in range(10)]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [len(batch) for batch in model.batches] == [4, 4]
    model.open.set()
    assert len(await many) == 10
    assert [len(batch) for batch in model.batches] == [4, 4, 2]


async def test_an_error_of_one_text_is_that_text_s_alone() -> None:
    model = Model()
    model.open.set()
    batches = batcher(model)
    good, bad = await asyncio.gather(batches.embed(["good"]), batches.embed(["fine", "bad"]), return_exceptions=True)
    assert good == [(4.0,)]
    assert isinstance(bad, EmbedderError)
    assert model.batches == [["good", "fine", "bad"]]
    assert batches.remembered == 2
    assert await batches.embed(["fine"]) == [(4.0,)]
    with pytest.raises(EmbedderError, match="refused"):
        await batches.embed(["bad"])
    assert model.batches[1:] == [["bad"]]


async def test_a_batch_is_nobody_s() -> None:
    model = Model()
    model.open.set()
    token = ASKING.set("the first caller")
    await batcher(model).embed(["a"])
    ASKING.reset(token)
    assert model.askers == ["nobody"]


async def test_too_few_vectors_are_an_error() -> None:
    async def compute(texts: Sequence[str]) -> list[Vector | EmbedderError]:
        return [(1.0,)]

    with pytest.raises(EmbedderError, match="failed \\(ValueError\\)"):
        await Batcher(compute, max_batch=4, memo=4).embed(["a", "b"])


async def test_stopping_ends_all_lanes_and_it_goes_on_afterwards() -> None:
    model = Model()
    batches = batcher(model, lanes=2)
    tasks = await asked(batches, "a", "b", "c")
    await batches.stop()
    for task in tasks:
        with pytest.raises(EmbedderError, match="stopped"):
            await task
    model.open.set()
    assert await batches.embed(["again"]) == [(5.0,)]
