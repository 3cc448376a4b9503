"""Leases in a real Redis: any history of claims and releases, and processes that are killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from forebay.adapters.redis.coordination import RedisCoordination
from tests.contract.coordination import Ears, reached, working
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # needs Debian's redis-server, which PyPI does not have

LEASE_S = 1.0
PLACES = 3
NAMES = ("lane", "other lane")

HOLDER = """
import asyncio, sys
from pathlib import Path
from forebay.adapters.redis.coordination import RedisCoordination

async def main():
    one = RedisCoordination(sys.argv[1], prefix="t", folder=Path(sys.argv[2]), lease_s=1.0, timeout_s=5.0)
    await one.start()
    while not (await one.claim("lane", "a", 2, 1.0)).granted: pass
    while not (await one.claim("lane", "b", 2, 1.0)).granted: pass
    await one.claim("twin", "c", 1, 0.0)
    print("held", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def make(redis: RedisServer, folder: Path, prefix: str = "t") -> RedisCoordination:
    return RedisCoordination(redis.url, prefix=prefix, folder=folder, lease_s=LEASE_S, timeout_s=5.0)


async def test_what_a_killed_process_held_comes_back_in_time(redis: RedisServer, tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, redis.url, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert holder.stdout is not None
    assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
    async with working(partial(make, redis, tmp_path), Ears()) as (one,):
        await reached(lambda: len(one.roster().workers) == 2)
        await asyncio.sleep(1.5 * LEASE_S)  # it lives, and renews
        assert not (await one.claim("lane", "x", 2, 0.0)).granted
        began = time.monotonic()
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        holder.stdout.close()
        assert (await one.claim("lane", "x", 2, 10.0)).granted
        assert (await one.claim("twin", "y", 1, 10.0)).granted
        assert time.monotonic() - began < LEASE_S + 1.0
        await reached(lambda: len(one.roster().workers) == 1)


async def test_a_lease_outlives_its_length_while_its_process_lives(redis: RedisServer, tmp_path: Path) -> None:
    async with working(partial(make, redis, tmp_path, "u"), Ears(), Ears()) as (one, other):
        assert (await one.claim("lane", "a", 1, 0.0)).granted
        assert not (await other.claim("lane", "b", 1, 2.5 * LEASE_S)).granted
        await one.release("lane", "a")
        assert (await other.claim("lane", "b", 1, 0.0)).granted


async def test_a_single_place_that_was_lost_is_not_taken_back(redis: RedisServer, tmp_path: Path) -> None:
    async with working(partial(make, redis, tmp_path, "v"), Ears(), Ears()) as (one, other):
        assert (await one.claim("house", "a", 1, 0.0)).granted
        redis.ask("DEL", "v:places:house")  # as after a restart
        assert (await other.claim("house", "b", 1, 0.0)).granted
        await asyncio.sleep(LEASE_S)
        assert not (await one.claim("house", "a", 1, 0.0)).granted
        assert (await other.claim("house", "b", 1, 0.0)).granted


async def test_calls_of_a_claim_and_its_release(redis: RedisServer, tmp_path: Path) -> None:
    """Two, and no more: it is paid for by every request."""
    async with working(partial(make, redis, tmp_path, "w"), Ears()) as (one,):
        await one.claim("lane", "warm", 5, 1.0)
        before = one.link.calls
        began = time.monotonic()
        for at in range(50):
            assert (await one.claim("lane", str(at), 5, 1.0)).granted
            await one.release("lane", str(at))
        beats = 1 + (time.monotonic() - began) / (LEASE_S / 5)
        assert 100 <= one.link.calls - before <= 100 + beats


class LeaseMachine(RuleBasedStateMachine):
    """Two workers and a model that knows who holds what."""

    server: RedisServer
    folder: Path
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.runner = asyncio.Runner()
        prefix = f"m{type(self).runs}"
        self.crew = [make(self.server, self.folder, prefix) for _ in range(2)]
        for one in self.crew:
            self.run(one.start())
        assert self.run(self.crew[0].claim("warm", "up", PLACES, 5.0)).granted  # a new Redis waits for all to be seen
        self.held: dict[str, set[tuple[int, str]]] = {name: set() for name in NAMES}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @rule(name=st.sampled_from(NAMES), who=st.integers(0, 1), member=st.sampled_from("abcd"))
    def claim(self, name: str, who: int, member: str) -> None:
        granted = self.run(self.crew[who].claim(name, member, PLACES, 0.0)).granted
        held = self.held[name]
        assert granted == ((who, member) in held or len(held) < PLACES)
        if granted:
            held.add((who, member))

    @rule(name=st.sampled_from(NAMES), who=st.integers(0, 1), member=st.sampled_from("abcd"))
    def release(self, name: str, who: int, member: str) -> None:
        self.run(self.crew[who].release(name, member))
        self.held[name].discard((who, member))

    @rule(name=st.sampled_from(NAMES), who=st.integers(0, 1))
    def wait_in_vain_or_not(self, name: str, who: int) -> None:
        granted = self.run(self.crew[who].claim(name, "w", PLACES, 0.01)).granted
        assert granted == ((who, "w") in self.held[name] or len(self.held[name]) < PLACES)
        if granted:
            self.held[name].add((who, "w"))

    @invariant()
    def never_more_than_there_are(self) -> None:
        assert all(len(held) <= PLACES for held in self.held.values())

    def teardown(self) -> None:
        for one in self.crew:
            self.run(one.stop())
        self.runner.close()


def test_any_history_of_claims(redis: RedisServer, tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    LeaseMachine.server, LeaseMachine.folder = redis, tmp_path
    run_state_machine_as_test(LeaseMachine, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))
