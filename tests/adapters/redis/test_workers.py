"""Whole runtimes that share a Redis: limits, twins and forgetting; with Redis frozen and killed under them."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.redis.coordination import RedisCoordination
from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.records import Selector
from forebay.testing import ScriptedEngine, chat, started
from tests.contract.coordination import reached
from tests.middleware.asking import QUESTION, stored, text_of
from tests.middleware.parts import followers_of, settled
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from forebay.middleware.pipeline import Reply
    from forebay.middleware.runtime import Runtime

pytestmark = pytest.mark.slow  # needs Debian's redis-server, which PyPI does not have

SECRET = "a secret of the tests"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def crew(
    redis: RedisServer, many: int, *, most: int | None = None, **settings: Any
) -> AsyncGenerator[list[Runtime]]:
    """Several workers of one deployment, each with a memory of its own, as on several machines."""
    limit = {"limit": {"type": "fixed", "max_inflight": most}} if most is not None else {}
    coordination = {"type": "redis", "url": redis.url, "lease_s": 1.0}
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                started({"secret": SECRET, "coordination": coordination, **limit, **settings})
            )
            for _ in range(many)
        ]
        await reached(lambda: all(len(each.coordination.roster().workers) == many for each in workers))
        yield workers


def ask(workers: list[Runtime], engine: ScriptedEngine, *texts: str) -> list[asyncio.Task[Reply]]:
    """Ask the workers by turns."""
    return [
        asyncio.create_task(workers[at % len(workers)].pipeline.handle(chat(text), engine))
        for at, text in enumerate(texts)
    ]


async def all_settled(workers: list[Runtime]) -> None:
    for each in workers:
        await settled(each)


def held(worker: Runtime) -> int:
    coordination = worker.coordination
    assert isinstance(coordination, RedisCoordination)
    return len(coordination._held)  # pyright: ignore[reportPrivateUsage]


async def test_64_equal_requests_at_four_workers_are_one_call(redis: RedisServer) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["one answer"], gate=gate)
    async with crew(redis, 4) as workers:
        tasks = ask(workers, engine, *[QUESTION] * 64)
        await reached(lambda: sum(len(followers_of(each)) for each in workers) == 60 and engine.running == 1)
        gate.set()
        replies = await asyncio.gather(*tasks)
        assert len(engine.calls) == 1
        assert {text_of(reply) for reply in replies} == {"one answer"}
        assert sorted(reply.status for reply in replies) == ["inflight"] * 63 + ["miss"]
        await all_settled(workers)
        await reached(lambda: not any(map(held, workers)))
        late = [await each.pipeline.handle(chat(QUESTION), engine) for each in workers]  # while the answer lives
        assert sorted(reply.status for reply in late) == ["exact", "inflight", "inflight", "inflight"]
        assert len(engine.calls) == 1


async def test_a_leader_that_leaves_hands_over_to_another_worker(redis: RedisServer) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(["one answer"], gate=gate)
    async with crew(redis, 2) as workers:
        (leader,) = ask(workers[:1], engine, QUESTION)
        await reached(lambda: engine.running == 1)
        others = ask(workers[1:], engine, *[QUESTION] * 5)
        await reached(lambda: len(followers_of(workers[1])) == 4)
        leader.cancel()
        await reached(lambda: len(engine.calls) == 2)
        gate.set()
        replies = await asyncio.gather(*others)
        assert len(engine.calls) == 2
        assert sorted(reply.status for reply in replies) == ["inflight"] * 4 + ["miss"]


async def test_a_leader_that_fails_lets_the_others_run_alone(redis: RedisServer) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([EngineError("no", status=500), "fine"], gate=gate)
    async with crew(redis, 2) as workers:
        (leader,) = ask(workers[:1], engine, QUESTION)
        await reached(lambda: engine.running == 1)
        (other,) = ask(workers[1:], engine, QUESTION)
        await reached(lambda: redis.ask("EXISTS", *keys_of(workers[1], "places:twin:")) == ":1")
        gate.set()
        with pytest.raises(EngineError):
            await leader
        assert text_of(await other) == "fine"


def keys_of(worker: Runtime, part: str) -> list[str]:
    prefix = f"forebay:{worker.keyring.digest('coordination')[:8]}"
    from forebay.middleware.keys import make_key

    return [f"{prefix}:{part}{make_key(chat(QUESTION), worker.keyring).exact}"]


async def test_a_forged_answer_in_redis_is_not_used(redis: RedisServer) -> None:
    engine = ScriptedEngine(["computed"])
    async with crew(redis, 1) as workers:
        redis.ask("SET", keys_of(workers[0], "left:twin:")[0], 'x\n{"v": 1, "kid": "k", "mac": "m", "data": "{}"}')
        (reply,) = await asyncio.gather(*ask(workers, engine, QUESTION))
        assert (reply.status, text_of(reply)) == ("miss", "computed")


async def test_a_limit_is_shared(redis: RedisServer) -> None:
    engine = ScriptedEngine(gate=(gate := asyncio.Event()))
    async with crew(redis, 3, most=4) as workers:
        tasks = ask(workers[:1], engine, *(f"a{at}" for at in range(6)))
        await reached(lambda: engine.running == 4)  # one worker may use all of it
        tasks += ask(workers, engine, *(f"b{at}" for at in range(30)))
        await asyncio.sleep(0.1)
        assert engine.running == 4
        gate.set()
        await asyncio.gather(*tasks)
        assert engine.most_running == 4
        await all_settled(workers)
        await reached(lambda: not any(map(held, workers)))


async def test_the_wait_for_a_shared_place_counts_for_the_queue_timeout(redis: RedisServer) -> None:
    engine = ScriptedEngine(gate=(gate := asyncio.Event()))
    async with crew(redis, 2, most=1, admission={"queue_timeout_s": 0.3}) as workers:
        (inside,) = ask(workers[:1], engine, "a")
        await reached(lambda: engine.running == 1)
        began = time.monotonic()
        late = ask(workers[1:], engine, "b", "c")
        with pytest.raises(ShedError, match="queue_timeout"):
            await late[0]
        with pytest.raises(ShedError, match="queue_timeout"):
            await late[1]
        assert time.monotonic() - began < 2.0
        gate.set()
        await inside


async def test_without_a_queue_a_full_limit_refuses_at_once(redis: RedisServer) -> None:
    engine = ScriptedEngine(gate=(gate := asyncio.Event()))
    async with crew(redis, 2, most=1, admission={"max_queue": 0}) as workers:
        (inside,) = ask(workers[:1], engine, "a")
        await reached(lambda: engine.running == 1)
        with pytest.raises(ShedError, match="queue_full"):
            await ask(workers[1:], engine, "b")[0]
        gate.set()
        await inside


async def test_what_one_worker_forgets_is_a_miss_in_all(redis: RedisServer) -> None:
    engine = ScriptedEngine(["first"])
    async with crew(redis, 3) as workers:
        for each in workers:  # each has it in its own memory, or had it from another
            await each.pipeline.handle(chat(QUESTION, controls=quiet()), engine)
            await settled(each)
            await each.pipeline.handle(chat(f"{each.state_dir}"), engine)
            await settled(each)
        before = sum([await stored(each) for each in workers])
        assert before >= 3
        dropped, told = await workers[0].workers.forget_everywhere(Selector())
        assert (told.workers, told.answered, dropped + told.dropped) == (2, 2, before)
        calls = len(engine.calls)
        for each in workers:
            reply = await each.pipeline.handle(chat(QUESTION), engine)
            assert reply.status == "miss"
            await settled(each)
        assert len(engine.calls) == calls + 3


def quiet() -> Any:
    from forebay.middleware.records import Controls

    return Controls(no_cache=True)


async def test_an_answer_on_its_way_is_not_kept_once_it_is_forgotten(redis: RedisServer) -> None:
    engine = ScriptedEngine(["late"], gate=(gate := asyncio.Event()))
    async with crew(redis, 2) as workers:
        (asked,) = ask(workers[:1], engine, QUESTION)
        await reached(lambda: engine.running == 1)
        _, told = await workers[1].workers.forget_everywhere(Selector(model="test-model"))
        assert told.answered == 1
        gate.set()
        assert text_of(await asked) == "late"
        await settled(workers[0])
        assert await stored(workers[0]) == 0


@pytest.mark.parametrize("how", ["freeze", "kill"])
async def test_without_redis_the_limit_is_divided_and_no_request_fails_or_hangs(
    redis: RedisServer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(gate=(gate := asyncio.Event()))
    async with crew(redis, 2, most=4) as workers:
        await asyncio.gather(*ask(workers, ScriptedEngine(), "warm", "up"))
        getattr(redis, how)()
        caplog.clear()
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            tasks = ask(workers, engine, *(f"q{at}" for at in range(20)))
            await reached(lambda: engine.running == 4)
            assert time.monotonic() - began < 2.0  # one deadline, and not one a request
            await asyncio.sleep(0.3)
            assert engine.running == 4  # two of each worker
            gate.set()
            await asyncio.gather(*tasks)
            assert engine.most_running <= 5
            assert sum("does not do its part" in line for line in caplog.messages) == 2  # one each
            caplog.clear()
            redis.thaw() if how == "freeze" else redis.start()
            await reached(lambda: all(each.coordination.roster().shared for each in workers))
            assert sum("works again" in line for line in caplog.messages) == 2
        gate.clear()
        engine = ScriptedEngine(gate=gate)
        tasks = ask(workers[:1], engine, *(f"r{at}" for at in range(9)))
        await reached(lambda: engine.running == 4)
        gate.set()
        await asyncio.gather(*tasks)
        assert engine.most_running == 4


async def test_a_redis_that_lost_everything_learns_who_is_inside(redis: RedisServer) -> None:
    engine = ScriptedEngine(gate=(gate := asyncio.Event()))
    async with crew(redis, 2, most=2) as workers:
        tasks = ask(workers, engine, "a", "b")
        await reached(lambda: engine.running == 2)
        redis.kill()
        redis.start()
        tasks += ask(workers, engine, "c", "d", "e", "f")
        await asyncio.sleep(0.3)
        assert engine.running == 2
        gate.set()
        await asyncio.gather(*tasks)


async def test_a_redis_that_is_down_at_the_start_is_said_and_used_later(redis: RedisServer) -> None:
    redis.kill()
    coordination = {"type": "redis", "url": redis.url, "lease_s": 1.0}
    async with started({"coordination": coordination, "secret": SECRET}) as worker:
        assert "Redis at unix://" in worker.problems[0]
        assert (await worker.pipeline.handle(chat("hello"), ScriptedEngine())).status == "miss"
        findings = {finding.name: finding for finding in await worker.check_ready()}
        assert not findings["coordination"].ok
        assert findings["coordination"].fix
        redis.start()
        await reached(lambda: worker.coordination.roster().shared)
        findings = {finding.name: finding for finding in await worker.check_ready()}
        assert findings["coordination"].detail.startswith("Redis ")
