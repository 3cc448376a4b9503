"""A call that nobody reads any more ends, however its loop was left."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.vllm.reading import Reading

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

GRACE_S = 0.02


class Numbers:
    """Counts up, and tells how it ended."""

    def __init__(self, most: int = 5) -> None:
        self.most = most
        self.ended = asyncio.Event()
        self.closed = False

    async def count(self) -> AsyncGenerator[int]:
        try:
            for number in range(self.most):
                await asyncio.sleep(0)
                yield number
        except GeneratorExit:
            self.closed = True
            raise
        finally:
            self.ended.set()

    async def wait(self) -> None:
        async with asyncio.timeout(2):
            await self.ended.wait()


async def test_all_is_read_by_one_loop() -> None:
    numbers = Numbers()
    assert [number async for number in Reading(numbers.count())] == [0, 1, 2, 3, 4]
    assert not numbers.closed


async def test_a_break_ends_the_call_although_a_variable_still_names_it() -> None:
    numbers = Numbers()
    reading = Reading(numbers.count(), grace_s=GRACE_S)
    async for _ in reading:
        break
    await numbers.wait()
    assert numbers.closed
    with pytest.raises(StopAsyncIteration):
        await anext(reading)


async def test_who_comes_back_in_time_reads_on() -> None:
    numbers = Numbers()
    reading = Reading(numbers.count(), grace_s=GRACE_S)
    async for number in reading:
        if number == 1:
            break
    assert [number async for number in reading] == [2, 3, 4]
    await asyncio.sleep(2 * GRACE_S)
    assert not numbers.closed


async def test_one_who_asks_without_a_loop_may_take_its_time() -> None:
    numbers = Numbers()
    reading = Reading(numbers.count(), grace_s=GRACE_S)
    assert await anext(reading) == 0
    await asyncio.sleep(3 * GRACE_S)
    assert await anext(reading) == 1
    await reading.aclose()
    assert numbers.closed


async def test_a_generator_that_is_dropped_ends() -> None:
    numbers = Numbers()
    reading = Reading(numbers.count(), grace_s=GRACE_S)
    await anext(reading)
    del reading
    gc.collect()
    await numbers.wait()
    assert numbers.closed


async def test_a_slow_body_of_a_loop_is_not_taken_for_one_that_left() -> None:
    numbers = Numbers(3)
    read: list[int] = []
    async for number in Reading(numbers.count(), grace_s=GRACE_S):
        await asyncio.sleep(2 * GRACE_S)
        read.append(number)
    assert read == [0, 1, 2]
    assert not numbers.closed


async def test_a_cancelled_reader_ends_the_call() -> None:
    numbers = Numbers(10**6)

    async def read() -> None:
        async for _ in Reading(numbers.count(), grace_s=GRACE_S):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(GRACE_S)
    task.cancel()
    await asyncio.wait([task])
    assert numbers.ended.is_set()


async def test_what_is_thrown_in_ends_the_call() -> None:
    numbers = Numbers()
    reading = Reading(numbers.count())
    await anext(reading)
    with pytest.raises(KeyError):
        await reading.athrow(KeyError("odd"))
    assert numbers.ended.is_set()
