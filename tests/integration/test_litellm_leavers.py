"""A thousand clients, most of which leave: everything comes back, nothing partial is kept, and who stays is served."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.asking import CHAT, Endpoint
from tests.integration.crowd import AT_ONCE, STAYED, Crowd
from tests.integration.proxy import Plan, Proxy
from tests.integration.upstream import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow
log = logging.getLogger(__name__)

SEED: Final = 3
CLIENTS: Final = 1000
CLOSED_WITHIN_S: Final = 1.0
"""Not counted is the time in which Python's collector stops the proxy, half a second and more with LiteLLM alone, too."""
SETTINGS: Final[dict[str, Any]] = {
    "cache": {"semantic": "off"},
    "store": {"type": "memory"},
    "limit": {"type": "fixed", "max_inflight": 8},
}
NEVER_SAID: Final = ("never retrieved", "never awaited", "Exception ignored", "was never", "unraisable")
LEAST: Final = {"queued": 80, "before": 80, "midway": 80, "leading": 25, "following": 5, STAYED: 100}
"""How many clients must have left there, or stayed, for a run to say anything."""


@pytest.fixture(scope="module", params=[True, False], ids=["cancel_on_disconnect", "default"])
def proxy(
    request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    plan = Plan(
        upstream.url,
        forebay=SETTINGS,
        general={"cancel_on_disconnect": request.param},
        env={"PYTHONWARNINGS": "always::RuntimeWarning"},
    )
    with Proxy(tmp_path_factory.mktemp("leavers"), plan) as process:
        yield process


@asynccontextmanager
async def crowd_of(proxy: Proxy, upstream: Upstream, endpoint: Endpoint) -> AsyncGenerator[Crowd]:
    """A crowd that has not come yet; at the end the engine's last call is over."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))
    async with proxy.http() as http:
        crowd = Crowd(endpoint, proxy, upstream, http, SEED)
        watching = asyncio.create_task(upstream.until(crowd.watch, timeout_s=240))
        try:
            yield crowd
        finally:
            crowd.late.stop()
            crowd.watch.over = True
            await http.post(f"{upstream.url}/chat/completions", json=CHAT.body("the last one", stream=False))
            await watching


@pytest.mark.parametrize("endpoint", [CHAT], ids=lambda endpoint: endpoint.name)
async def test_a_thousand_clients(proxy: Proxy, upstream: Upstream, endpoint: Endpoint) -> None:
    async with crowd_of(proxy, upstream, endpoint) as crowd:
        await crowd.ask("what a proxy does at its first request")
        await proxy.settled()
        before = await proxy.ask("remains", flights=0, leases=0)

        await crowd.run()
        phases = Counter(client.left_at for client in crowd.clients)
        log.info("where they left: %s", dict(phases))
        assert len(crowd.clients) == CLIENTS
        assert all(phases[phase] >= least for phase, least in LEAST.items()), phases
        await proxy.settled()

        for client in crowd.clients:
            if client.left_at == STAYED:
                seen = (client.status, client.text, client.whole)
                assert seen == (200, crowd.answers[client.prompt], True), client
        await check_what_was_kept(proxy, upstream, crowd)
        assert await proxy.ask("remains", **before) == before

    phases_closed = ("before", "midway", "leading") if proxy.cancels else ("midway",)
    took = crowd.closed(phases_closed, await proxy.ask("pauses"))
    log.info("closed within %.3f s at the median, %.3f s at most", took[len(took) // 2][0], took[-1][0])
    log.info("of all time, pauses included, within %.3f s at most", max(all_s for _, all_s, *_ in took))
    assert took[-1][0] <= CLOSED_WITHIN_S, took[-10:]
    said = [line for line in proxy.log.splitlines() if any(words in line for words in NEVER_SAID)]
    assert said == []


async def check_what_was_kept(proxy: Proxy, upstream: Upstream, crowd: Crowd) -> None:
    """What only leavers asked is computed anew when it is asked again, or was computed whole."""
    stayed = {client.prompt for client in crowd.clients if client.left_at == STAYED}
    # the engine has never ended these
    unended = {client.prompt for client in crowd.clients if client.held and (proxy.cancels or client.text)} - stayed
    prompts = sorted(crowd.answers.keys() - stayed)
    for prompt in prompts:
        upstream.on(prompt, Reply(text=f"once more: {crowd.answers[prompt]}"))
    room = asyncio.Semaphore(AT_ONCE // 2)
    statuses: Counter[str] = Counter()

    async def again(prompt: str) -> None:
        async with room:
            client = await crowd.ask(prompt)
        statuses[client.cache] += 1
        answer = crowd.answers[prompt]
        expected = f"once more: {answer}" if client.cache == "miss" else answer
        assert (client.status, client.text, client.whole) == (200, expected, True), client
        assert client.cache == "miss" or prompt not in unended, client

    await asyncio.gather(*map(again, prompts))
    await proxy.settled()
    assert len(unended) >= LEAST["midway"]
    assert statuses.keys() <= {"miss", "exact"}
