"""Four LiteLLM workers under load: limits hold, what is forgotten is forgotten in all, nobody is stuck."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from forebay.adapters.local.coordination import LocalCoordination
from forebay.adapters.local.files import WorkerFiles
from forebay.adapters.redis.coordination import RedisCoordination
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Selector
from tests.contract.coordination import reached
from tests.integration.proxy import FOREBAY, Plan, Proxy
from tests.integration.upstream import Hold, Reply, Upstream
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.middleware.coordination import Worker

pytestmark = pytest.mark.slow

WORKERS = 4
MOST = 6
SECRET = "a secret of the tests"
LEASE_S = 5.0
START_S = 240.0


@dataclass
class Rig:
    proxy: Proxy
    upstream: Upstream
    redis: RedisServer | None

    def live(self) -> tuple[Worker, ...]:
        folder = self.proxy.state_dir / "workers"
        return WorkerFiles(folder, "test").live() if folder.is_dir() else ()

    def serves(self) -> bool:
        """Whether all workers have started forebay, and the port is open."""
        if len(self.live()) < WORKERS:
            return False
        try:
            return httpx.get(f"{self.proxy.url}/health/liveliness", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    async def ask(self, prompt: str) -> httpx.Response:
        """Ask over a connection of its own, so that any worker may get it."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": prompt}]}
        async with self.proxy.http() as http:
            return await http.post("/v1/chat/completions", json=body)

    def forebay(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "forebay", "--config", str(self.proxy.folder / "forebay.yaml"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def coordination(self) -> Any:
        if self.redis is None:
            return LocalCoordination(self.proxy.state_dir, serves=False)
        prefix = f"forebay:{Keyring.from_secret(SECRET).digest('coordination')[:8]}"
        return RedisCoordination(
            self.redis.url, prefix=prefix, folder=self.proxy.state_dir, timeout_s=2.0, serves=False
        )


@pytest.fixture(
    scope="module",
    params=[("uvicorn", False), ("uvicorn", True), ("gunicorn", True)],
    ids=["uvicorn", "uvicorn-redis", "gunicorn-redis"],
)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server, with_redis = request.param
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        redis = stack.enter_context(RedisServer()) if with_redis else None
        settings: dict[str, Any] = {
            "secret": SECRET,
            "cache": {"semantic": "off"},
            "limit": {"type": "fixed", "max_inflight": MOST},
        }
        if redis is not None:
            settings["coordination"] = {"type": "redis", "url": redis.url, "lease_s": LEASE_S, "timeout_s": 5.0}
        # uvicorn's supervisor otherwise kills workers that need more than 5 s to import LiteLLM
        own = ["--run_gunicorn"] if server == "gunicorn" else ["--timeout_worker_healthcheck", "200"]
        plan = Plan(
            upstream.url,
            settings,
            callbacks=(FOREBAY,),
            general={"cancel_on_disconnect": True},
            arguments=["--num_workers", str(WORKERS), *own],
        )
        proxy = Proxy(tmp_path_factory.mktemp("workers"), plan)
        stack.callback(proxy.kill)
        proxy.spawn()
        made = Rig(proxy, upstream, redis)
        ends = time.monotonic() + START_S
        while not made.serves():
            assert time.monotonic() < ends, f"the workers did not start:\n{proxy.log[-4000:]}"
            time.sleep(0.2)
        yield made


def status_of(reply: httpx.Response) -> str:
    return str(reply.headers.get("x-forebay-cache"))


async def test_one_worker_has_the_lite_file_and_all_are_seen(rig: Rig) -> None:
    await reached(lambda: all(worker.about for worker in rig.live()))
    where = Counter(worker.about.split(" /")[0] for worker in rig.live())
    assert where["the Milvus Lite file"] == 1
    assert sum(where.values()) == WORKERS
    said = await asyncio.to_thread(rig.forebay, "doctor", "--json")
    assert f"{WORKERS} running" in said.stdout, said.stdout + said.stderr
    how = "shared by" if rig.redis is not None else "divided by"
    assert f"{MOST} for each deployment, {how} {WORKERS} workers" in said.stdout


async def test_the_limit_holds_and_nobody_is_stuck(rig: Rig) -> None:
    rig.upstream.peak = 0
    prompts = [f"load {at}" for at in range(80)]
    for prompt in prompts:
        rig.upstream.on(prompt, Reply(takes_s=0.1))
    replies = await asyncio.gather(*map(rig.ask, prompts))
    assert Counter(reply.status_code for reply in replies) == {200: 80}
    assert 1 < rig.upstream.peak <= MOST, rig.proxy.log[-2000:]


async def test_equal_requests_share_a_computation(rig: Rig) -> None:
    hold = Hold()
    rig.upstream.on("equal", Reply(hold=hold))
    tasks = [asyncio.create_task(rig.ask("equal")) for _ in range(64)]
    await rig.upstream.until_called("equal")
    await asyncio.sleep(2.0)  # time for all to arrive
    hold.release()
    replies = await asyncio.gather(*tasks)
    assert Counter(reply.status_code for reply in replies) == {200: 64}
    calls = len(rig.upstream.of("equal"))
    assert len({reply.json()["id"] for reply in replies}) == calls
    assert calls == 1 if rig.redis is not None else 1 <= calls <= WORKERS


async def test_what_one_worker_forgets_is_a_miss_in_all_within_a_second(rig: Rig) -> None:
    old: set[str] = set()
    replies: list[httpx.Response] = []
    for _ in range(3):  # until each worker has it
        replies = await asyncio.gather(*(rig.ask("forget me") for _ in range(16)))
        old |= {reply.json()["id"] for reply in replies}
    assert status_of(replies[-1]) in ("exact", "inflight")
    coordination = rig.coordination()
    await coordination.start()
    try:
        await reached(lambda: len(coordination.roster().workers) == WORKERS)
        began = time.monotonic()
        told = await coordination.tell(Selector(model="tiny"), 10.0)
        assert time.monotonic() - began < 1.0
        assert (told.workers, told.answered) == (WORKERS, WORKERS)
        assert told.dropped >= 1
    finally:
        await coordination.stop()
    replies = await asyncio.gather(*(rig.ask("forget me") for _ in range(32)))
    assert not old & {reply.json()["id"] for reply in replies}
    said = await asyncio.to_thread(rig.forebay, "cache", "forget", "--model", "tiny")
    assert said.returncode == 0, said.stderr
    assert f"{WORKERS} running processes told" in said.stdout


async def test_what_a_killed_worker_held_comes_back(rig: Rig) -> None:
    """Kill -9 a worker while the limit is used up: the rest goes on, and so does its successor."""
    hold = Hold()
    rig.upstream.peak = 0
    prompts = [f"held {at}" for at in range(MOST * 2)]
    for prompt in prompts:
        rig.upstream.on(prompt, Reply(hold=hold))
    tasks = [asyncio.create_task(rig.ask(prompt)) for prompt in prompts]
    # without Redis each worker has its part of the limit, and the system may give most connections to one of them
    inside = MOST if rig.redis is not None else 1
    await rig.upstream.until(lambda calls: sum(call.prompt.startswith("held") for call in calls) >= inside)
    victim = rig.live()[0]
    os.kill(victim.pid, signal.SIGKILL)
    await reached(lambda: victim not in rig.live())
    hold.release()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    # lost is what the killed worker had, however many connections the system gave it
    lost = [end for end in ended if isinstance(end, httpx.TransportError)]
    answered = [end for end in ended if isinstance(end, httpx.Response) and end.status_code == 200]
    assert len(lost) + len(answered) == len(prompts), ended
    assert rig.upstream.peak <= MOST + (0 if rig.redis is not None else WORKERS)
    began = time.monotonic()
    replies = await asyncio.gather(*(rig.ask(f"after {at}") for at in range(20)))
    assert Counter(reply.status_code for reply in replies) == {200: 20}
    assert time.monotonic() - began < LEASE_S + 20.0
    # whoever supervises the workers starts another
    await reached(lambda: len(rig.live()) == WORKERS, START_S)
