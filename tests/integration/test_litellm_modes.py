"""Shadow, off, the kill switch, and a LiteLLM whose own cache is on."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question
from tests.integration.test_litellm_matrix import KINDS
from tests.integration.upstream import Reply
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

MEMORY: Final[dict[str, Any]] = {"store": {"type": "memory"}, "embedder": {"type": "hashing"}}


@pytest.fixture(scope="module")
def shadow(fixed: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Shadow, except that the model "warm" is off and the model "other" is served."""
    rules = [{"model": "warm", "mode": "off"}, {"model": "other", "mode": "serve"}]
    plan = Plan(
        fixed.url,
        forebay={**MEMORY, "mode": "shadow", "rules": rules},
        general={"custom_auth": "auth.authenticate"},
    )
    with Proxy(tmp_path_factory.mktemp("shadow"), plan) as process:
        yield process


async def send(proxy: Proxy, text: str, **more: Any) -> httpx.Response:
    async with proxy.http() as client:
        return await client.post("/v1/chat/completions", json={"model": "tiny", **question(text, **more)})


def body_of(response: httpx.Response) -> bytes:
    """The body; into the chunks of a stream LiteLLM writes its own clock, and an id where the engine gave none."""
    if response.headers["content-type"].startswith("text/event-stream"):
        clockless = re.sub(rb'"created":\d+', b'"created":0', response.content)
        return re.sub(rb'"chatcmpl-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}"', b'"chatcmpl-made-up"', clockless)
    return response.content


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["plain", "tools", "logprobs", "json_schema"])
async def test_shadow_answers_as_litellm_alone(
    alone: Proxy, shadow: Proxy, fixed: Upstream, kind: str, stream: bool
) -> None:
    text = f"In the shadow of {kind} {stream}."
    expected = await send(alone, text, stream=stream, **KINDS[kind])
    calls = len(fixed.of(text))
    answers: list[httpx.Response] = []
    for _ in range(2):
        answers.append(await send(shadow, text, stream=stream, **KINDS[kind]))
        await shadow.settled()
    assert [answer.headers["x-forebay-cache"] for answer in answers] == ["miss", "shadow"]
    assert len(fixed.of(text)) == calls + 2
    for answer in answers:
        assert answer.status_code == expected.status_code == 200
        assert answer.headers["content-type"] == expected.headers["content-type"]
        assert body_of(answer) == body_of(expected)

    explained = [await shadow.ask("explain", request=answer.headers["x-forebay-id"]) for answer in answers]
    lookups = [next(d for d in found["decisions"] if d["stop"] == "lookup") for found in explained]
    assert [lookup["choice"] for lookup in lookups] == ["miss", "shadow_hit"]
    assert lookups[1]["tier"] == "exact"
    assert text not in repr(explained)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(status=429), Reply(raw="oops"), Reply(finish_reason="length")]
)
async def test_shadow_fails_as_litellm_alone(
    alone: Proxy, shadow: Proxy, fixed: Upstream, reply: Reply, stream: bool
) -> None:
    text = f"Fail with {reply.status} {reply.raw} {stream}."
    fixed.on(text, reply)
    expected, answer = await send(alone, text, stream=stream), await send(shadow, text, stream=stream)
    assert answer.status_code == expected.status_code
    assert body_of(answer) == body_of(expected)
    await shadow.settled()


async def test_callers_with_other_keys_share_nothing(shadow: Proxy, fixed: Upstream) -> None:
    text = "Whose answer is this?"
    statuses: list[str] = []
    for key in ("sk-one", "sk-one", "sk-two", "sk-two"):
        async with shadow.client(key) as client:
            statuses.append((await ask(client, question(text, model="other"))).status)
        await shadow.settled()
    assert statuses == ["miss", "exact", "miss", "exact"]
    assert len(fixed.of(text)) == 2


async def test_off(shadow: Proxy, fixed: Upstream) -> None:
    statuses: list[str] = []
    for _ in range(2):
        statuses.append((await send(shadow, "Off, please.", model="warm")).headers["x-forebay-cache"])
        await shadow.settled()
    assert statuses == ["bypass", "bypass"]
    assert len(fixed.of("Off, please.")) == 2


async def test_kill_switch(shadow: Proxy, fixed: Upstream) -> None:
    """A file in the state folder, without a restart."""
    text = "Killed, please."

    async def until(status: str) -> None:
        seen = ""
        for _ in range(200):
            seen = (await send(shadow, text, model="other")).headers["x-forebay-cache"]
            await shadow.settled()
            if seen == status:
                return
        raise AssertionError(f"{seen} and never {status}")

    await until("exact")
    await asyncio.to_thread((shadow.state_dir / "off").touch)
    await until("bypass")
    calls = len(fixed.of(text))
    assert (await send(shadow, text, model="other")).status_code == 200
    assert len(fixed.of(text)) == calls + 1
    await asyncio.to_thread((shadow.state_dir / "off").unlink)
    await until("exact")


@pytest.fixture(params=["local", "redis"])
def own_cache(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """LiteLLM settings that switch a cache of LiteLLM's own on."""
    if request.param == "local":
        yield {"cache": True, "cache_params": {"type": "local"}}
        return
    with RedisServer() as redis:
        yield {"cache": True, "cache_params": {"type": "redis", "url": redis.url}}


@pytest.mark.parametrize("before", [True, False], ids=["before_callbacks", "after_callbacks"])
async def test_litellms_own_cache_is_a_further_tier(
    fixed: Upstream, tmp_path: Path, own_cache: dict[str, Any], before: bool
) -> None:
    """It keeps its entries and its keys: what it had before forebay came is a hit, and forebay's hits are served."""
    text = f"Cached by LiteLLM {own_cache['cache_params']['type']} {before}."
    plan = Plan(fixed.url, forebay=MEMORY, first=own_cache if before else {}, litellm={} if before else own_cache)
    with Proxy(tmp_path, plan) as proxy:
        async with proxy.client() as client:
            around = {"x-forebay-bypass": "1"}
            theirs = await ask(client, question(text), headers=around)
            await proxy.logged(theirs.headers)
            again = await ask(client, question(text), headers=around)
            found = await ask(client, question(text))
            await proxy.settled()
            refreshed = await ask(client, question(text, extra_body={"cache": {"no-cache": True}}))
            await proxy.settled()
            ours = await ask(client, question(text))
    assert [theirs.status, again.status, found.status] == ["bypass", "bypass", "exact"]
    assert theirs == again == found
    assert [refreshed.status, ours.status] == ["miss", "exact"]
    assert refreshed == ours
    assert len(fixed.of(text)) == 2
