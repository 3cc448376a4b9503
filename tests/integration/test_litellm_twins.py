"""Equal requests in flight: one computes, all are answered, and nobody's leaving or failing is another's loss."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import Seen, ask, question
from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import AsyncOpenAI

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

TWINS: Final = 64
INSIDE: Final = 4
"""How many the limit lets into the engine."""
PATIENCE_S: Final = 1.0
"""How long a follower of the proxy `impatient` follows."""
SETTINGS: Final[dict[str, Any]] = {
    "cache": {"semantic": "off"},
    "store": {"type": "memory"},
    "limit": {"type": "fixed", "max_inflight": INSIDE},
}
SHAPES: Final = {"whole": (False,), "stream": (True,), "mixed": (False, True)}


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    general = {"cancel_on_disconnect": True, "custom_auth": "auth.authenticate"}
    with Proxy(tmp_path_factory.mktemp("twins"), Plan(upstream.url, forebay=SETTINGS, general=general)) as process:
        yield process


@pytest.fixture(scope="module")
def impatient(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    settings = {**SETTINGS, "cache": {"semantic": "off", "twin_wait_s": PATIENCE_S}}
    with Proxy(tmp_path_factory.mktemp("impatient"), Plan(upstream.url, forebay=settings)) as process:
        yield process


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[bool, ...]:
    """Which of the twins want streams, in turn."""
    return SHAPES[request.param]


def send(client: AsyncOpenAI, text: str, stream: bool) -> asyncio.Task[Seen]:
    return asyncio.create_task(ask(client, question(text, stream=stream)))


def crowd(client: AsyncOpenAI, text: str, shape: tuple[bool, ...], number: int) -> list[asyncio.Task[Seen]]:
    return [send(client, text, shape[at % len(shape)]) for at in range(number)]


async def until_in_flight(proxy: Proxy, number: int) -> None:
    state = await proxy.ask("until", flights=number)
    assert state["flights"] == number


async def test_one_call_answers_all(proxy: Proxy, upstream: Upstream, shape: tuple[bool, ...]) -> None:
    text, hold = f"asked by all, streamed {shape}", Hold()
    upstream.on(text, Reply(hold=hold))
    async with proxy.client() as client:
        tasks = crowd(client, text, shape, TWINS)
        await until_in_flight(proxy, TWINS)
        state = await proxy.ask("until", inside=1, queued=0)
        assert (state["inside"], state["queued"]) == (1, 0)  # who follows takes no lease
        hold.release()
        seen = await asyncio.gather(*tasks)
    await proxy.settled()
    assert len(upstream.of(text)) == 1
    assert all(one == seen[0] for one in seen)
    assert seen[0].content
    assert sorted(one.status for one in seen) == ["inflight"] * (TWINS - 1) + ["miss"]


async def test_leader_leaves_before_the_first_byte(proxy: Proxy, upstream: Upstream, shape: tuple[bool, ...]) -> None:
    text, first, second = f"the leader leaves, streamed {shape}", Hold(), Hold()
    upstream.on(text, Reply(hold=first), Reply(hold=second))
    async with proxy.client() as client:
        leader = send(client, text, shape[0])
        await upstream.until_called(text)
        tasks = crowd(client, text, shape, TWINS - 1)
        await until_in_flight(proxy, TWINS)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        await upstream.until_called(text, 2)
        await upstream.until_left(text)
        second.release()
        seen = await asyncio.gather(*tasks)
    await proxy.settled()
    assert [(call.left, call.done) for call in upstream.of(text)] == [(True, False), (False, True)]
    assert all(one == seen[0] for one in seen)
    assert seen[0].content
    assert sorted(one.status for one in seen) == ["inflight"] * (TWINS - 2) + ["miss"]


async def test_leader_leaves_in_the_middle_of_its_stream(
    proxy: Proxy, upstream: Upstream, shape: tuple[bool, ...]
) -> None:
    text, hold = f"the leader leaves midway, streamed {shape}", Hold()
    upstream.on(text, Reply(hold_middle=hold), Reply())
    body = {"model": "tiny", **question(text, stream=True)}
    async with proxy.client() as client, proxy.http() as leader:
        async with leader.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.aiter_lines()  # kept: the connection is closed when nobody has it any more
            async for line in lines:
                if '"content"' in line:
                    break
            tasks = crowd(client, text, shape, TWINS // 4)
            await until_in_flight(proxy, TWINS // 4 + 1)
            assert len(upstream.of(text)) == 1
        seen = await asyncio.gather(*tasks)
    await proxy.settled()
    assert [call.left for call in upstream.of(text)] == [True, False]
    assert all(one == seen[0] for one in seen)
    assert seen[0].finish_reason == "stop"


async def test_every_second_follower_leaves_and_so_do_two_leaders(proxy: Proxy, upstream: Upstream) -> None:
    text, holds = "half of them leave", [Hold() for _ in range(3)]
    upstream.on(text, *(Reply(hold=hold) for hold in holds))
    async with proxy.client() as client:
        leader = send(client, text, stream=True)
        await upstream.until_called(text)
        heir = send(client, text, stream=False)
        await until_in_flight(proxy, 2)
        tasks = crowd(client, text, SHAPES["mixed"], TWINS - 2)
        await until_in_flight(proxy, TWINS)
        for task in tasks[::2]:
            task.cancel()
        await until_in_flight(proxy, TWINS // 2 + 1)
        leader.cancel()
        await upstream.until_called(text, 2)
        heir.cancel()
        await upstream.until_called(text, 3)
        holds[2].release()
        seen = await asyncio.gather(*tasks[1::2])
        await asyncio.gather(leader, heir, *tasks, return_exceptions=True)
    await proxy.settled()
    assert [call.done for call in upstream.of(text)] == [False, False, True]
    assert len(seen) == TWINS // 2 - 1
    assert all(one == seen[0] for one in seen)


async def test_leader_fails(proxy: Proxy, upstream: Upstream, shape: tuple[bool, ...]) -> None:
    """Its followers run on their own, as many at a time as the limit lets in."""
    text, hold, number = f"the leader fails, streamed {shape}", Hold(), TWINS // 2
    upstream.on(text, Reply(status=500, hold=hold), Reply(takes_s=0.05))
    async with proxy.client() as client:
        leader = send(client, text, shape[0])
        await upstream.until_called(text)
        tasks = crowd(client, text, shape, number)
        await until_in_flight(proxy, number + 1)
        upstream.peak = 0
        hold.release()
        with pytest.raises(openai.InternalServerError):
            await leader
        seen = await asyncio.gather(*tasks)
    await proxy.settled()
    assert {one.status for one in seen} == {"miss"}
    assert len({one.id for one in seen}) == number
    assert {one.content for one in seen} == {seen[0].content}
    assert len(upstream.of(text)) == number + 1
    assert upstream.peak <= INSIDE


async def test_a_follower_leaves_when_its_own_time_is_over(proxy: Proxy, upstream: Upstream) -> None:
    text, hold = "one of them is in a hurry", Hold()
    upstream.on(text, Reply(hold=hold))
    async with proxy.client() as client:
        leader = send(client, text, stream=False)
        await upstream.until_called(text)
        patient = crowd(client, text, SHAPES["mixed"], 4)
        await until_in_flight(proxy, 5)
        hasty = [send(client.with_options(timeout=0.5), text, stream) for stream in (False, True)]
        for task in hasty:
            with pytest.raises(openai.APITimeoutError):
                await task
        await until_in_flight(proxy, 5)
        assert not leader.done()
        hold.release()
        seen = await asyncio.gather(leader, *patient)
    await proxy.settled()
    assert len(upstream.of(text)) == 1
    assert all(one == seen[0] for one in seen)


async def test_a_follower_that_has_followed_long_enough_runs_alone(impatient: Proxy, upstream: Upstream) -> None:
    text, hold = "the first one takes for ever", Hold()
    upstream.on(text, Reply(hold=hold), Reply())
    async with impatient.client() as client:
        leader = send(client, text, stream=False)
        await upstream.until_called(text)
        began = monotonic()
        seen = await asyncio.gather(*crowd(client, text, SHAPES["mixed"], 3))
        assert monotonic() - began >= PATIENCE_S
        assert not leader.done()
        assert {one.status for one in seen} == {"miss"}
        assert len({one.id for one in seen}) == 3
        assert len(upstream.of(text)) == 4
        hold.release()
        assert (await leader).content == seen[0].content
    await impatient.settled()


async def test_tenants_never_share(proxy: Proxy, upstream: Upstream) -> None:
    text, hold, tenants = "asked by strangers", Hold(), 8
    upstream.on(text, Reply(hold=hold))
    clients = [proxy.client(f"sk-tenant-{at}") for at in range(tenants)]
    tasks = [crowd(client, text, SHAPES["mixed"], TWINS // tenants) for client in clients]
    await until_in_flight(proxy, TWINS)
    hold.release()
    seen = [await asyncio.gather(*group) for group in tasks]
    await proxy.settled()
    for group in seen:
        assert all(one == group[0] for one in group)
        assert [one.status for one in group].count("miss") == 1
    assert len({group[0].id for group in seen}) == tenants
    assert len(upstream.of(text)) == tenants
    for client in clients:
        await client.close()
