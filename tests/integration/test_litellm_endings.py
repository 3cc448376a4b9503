"""However a call ends, its lease comes back, its flight ends, and nothing incomplete is kept."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question
from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

ONE_AT_A_TIME: dict[str, Any] = {
    "cache": {"semantic": "off"},
    "store": {"type": "memory"},
    "limit": {"type": "fixed", "max_inflight": 1},
}


@pytest.fixture(scope="module")
def closing(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One at a time; LiteLLM cancels what its client no longer waits for."""
    plan = Plan(upstream.url, forebay=ONE_AT_A_TIME, general={"cancel_on_disconnect": True})
    with Proxy(tmp_path_factory.mktemp("closing"), plan) as process:
        yield process


@pytest.fixture(scope="module")
def short(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One at a time, one may wait, for a second; LiteLLM finishes what it began, as it does by default."""
    settings = {**ONE_AT_A_TIME, "admission": {"max_queue": 1, "queue_timeout_s": 1.0}}
    with Proxy(tmp_path_factory.mktemp("short"), Plan(upstream.url, forebay=settings)) as process:
        yield process


@pytest.fixture(params=["closing", "short"])
def either(request: pytest.FixtureRequest) -> Proxy:
    """Both of LiteLLM's ways with a client that leaves."""
    proxy: Proxy = request.getfixturevalue(request.param)
    return proxy


async def kept(proxy: Proxy) -> int:
    return len(await proxy.ask("entries"))


async def send(proxy: Proxy, text: str, **more: Any) -> Any:
    headers = more.pop("headers", {})
    async with proxy.http() as client:
        return await client.post(
            "/v1/chat/completions", json={"model": "tiny", **question(text, **more)}, headers=headers
        )


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_failure(either: Proxy, upstream: Upstream, stream: bool) -> None:
    text = f"fails {either.port} {stream}"
    upstream.on(text, Reply(status=500), Reply())
    before = await kept(either)
    async with either.client() as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await ask(client, question(text, stream=stream))
        assert failed.value.response.headers["x-forebay-cache"] == "miss"
        await either.settled()
        assert await kept(either) == before
        assert (await ask(client, question(text, stream=stream))).status == "miss"
        await either.settled()
        assert (await ask(client, question(text, stream=stream))).status == "exact"
    assert len(upstream.of(text)) == 2


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(raw="<html>oops"), Reply(raw='{"choices": []}')])
async def test_other_failures(closing: Proxy, upstream: Upstream, reply: Reply) -> None:
    text = f"fails with {reply.status} {reply.raw}"
    upstream.on(text, reply)
    before = await kept(closing)
    await send(closing, text)
    await closing.settled()
    assert await kept(closing) == before


async def test_retried_answer_is_kept(closing: Proxy, upstream: Upstream) -> None:
    text = "fails once"
    upstream.on(text, Reply(status=500), Reply())
    response = await send(closing, text, num_retries=2)
    assert response.status_code == 200
    await closing.settled()
    assert (await send(closing, text)).headers["x-forebay-cache"] == "exact"
    assert len(upstream.of(text)) == 2


async def test_all_retries_fail(closing: Proxy, upstream: Upstream) -> None:
    text = "fails always"
    upstream.on(text, Reply(status=500))
    before = await kept(closing)
    response = await send(closing, text, num_retries=2)
    assert response.status_code == 500
    assert len(upstream.of(text)) == 3
    await closing.settled()
    assert await kept(closing) == before


async def test_answer_of_a_fallback_is_not_kept(closing: Proxy, upstream: Upstream) -> None:
    """It is another model's answer."""
    text = "needs a fallback"
    upstream.on(text, Reply(status=500), Reply())
    before = await kept(closing)
    response = await send(closing, text, fallbacks=["warm"])
    assert response.status_code == 200
    assert len(upstream.of(text)) == 2
    await closing.settled()
    assert await kept(closing) == before


async def test_refused_by_a_later_callback(closing: Proxy, upstream: Upstream) -> None:
    response = await send(closing, "refuse this", headers={"x-test-refuse": "1"})
    assert response.status_code == 400
    await closing.settled()
    assert upstream.of("refuse this") == []


async def test_client_leaves_while_it_is_queued(either: Proxy, upstream: Upstream) -> None:
    first, second = f"inside {either.port}", f"queued {either.port}"
    hold = Hold()
    upstream.on(first, Reply(hold=hold))
    inside = asyncio.create_task(send(either, first))
    await upstream.until_called(first)
    queued = asyncio.create_task(send(either, second))
    assert (await either.ask("until", queued=1))["queued"] == 1
    await leave(queued)
    if either.cancels:
        assert (await either.ask("until", queued=0))["queued"] == 0
    hold.release()
    assert (await inside).status_code == 200
    await either.settled()
    assert len(upstream.of(second)) == (0 if either.cancels else 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_client_leaves_while_the_engine_computes(either: Proxy, upstream: Upstream, stream: bool) -> None:
    text = f"left alone {either.port} {stream}"
    hold = Hold()
    upstream.on(text, Reply(hold=hold))
    before = await kept(either)
    task = asyncio.create_task(send(either, text, stream=stream))
    await upstream.until_called(text)
    await leave(task)
    if either.cancels:
        await upstream.until_left(text)
    hold.release()
    await either.settled()
    # by default LiteLLM lets a whole answer finish, and then it is a whole answer
    assert await kept(either) - before == (1 if not either.cancels and not stream else 0)


async def test_client_leaves_in_the_middle_of_a_stream(either: Proxy, upstream: Upstream) -> None:
    text = f"half read {either.port}"
    hold = Hold()
    upstream.on(text, Reply(hold_middle=hold))
    before = await kept(either)
    async with (
        either.http() as client,
        client.stream(
            "POST", "/v1/chat/completions", json={"model": "tiny", **question(text, stream=True)}
        ) as response,
    ):
        assert response.headers["x-forebay-cache"] == "miss"
        async for line in response.aiter_lines():
            if '"content"' in line:
                break
    await upstream.until_left(text)
    hold.release()
    await either.settled()
    assert await kept(either) == before


async def test_client_leaves_in_the_middle_of_a_hit(either: Proxy, upstream: Upstream) -> None:
    text = f"a long one {either.port}"
    upstream.on(text, Reply(text="word " * 5000 + "end"))
    await send(either, text)
    await either.settled()
    async with (
        either.http() as client,
        client.stream(
            "POST", "/v1/chat/completions", json={"model": "tiny", **question(text, stream=True)}
        ) as response,
    ):
        assert response.headers["x-forebay-cache"] == "exact"
        async for _ in response.aiter_lines():
            break
    await either.settled()
    assert len(upstream.of(text)) == 1


async def test_stream_that_breaks_off(either: Proxy, upstream: Upstream) -> None:
    text = f"breaks off {either.port}"
    upstream.on(text, Reply(cut=True))
    before = await kept(either)
    for _ in range(2):
        await send(either, text, stream=True)
        await either.settled()
    assert len(upstream.of(text)) == 2
    assert await kept(either) == before


async def test_twins_share_one_answer(closing: Proxy, upstream: Upstream) -> None:
    text = "asked by twelve"
    hold = Hold()
    upstream.on(text, Reply(hold=hold))
    async with closing.client() as client:
        tasks = [asyncio.create_task(ask(client, question(text, stream=at % 3 == 0))) for at in range(12)]
        await upstream.until_called(text)
        assert (await closing.ask("until", flights=12))["flights"] == 12
        hold.release()
        seen = await asyncio.gather(*tasks)
    await closing.settled()
    assert len(upstream.of(text)) == 1
    assert all(one == seen[0] for one in seen)
    assert sorted(one.status for one in seen) == ["inflight"] * 11 + ["miss"]
    costs = [(await closing.logged(one.headers))["cost"] for one in seen]
    assert [one.status for one, cost in zip(seen, costs, strict=True) if cost > 0] == ["miss"]


async def test_edited_twin(closing: Proxy, upstream: Upstream) -> None:
    """What a guardrail edited after forebay saw it has no twin: it computes for itself, with a lease of its own."""
    text, edited = "asked by two", "asked by one"
    first, second = Hold(), Hold()
    upstream.on(text, Reply(hold=first))
    upstream.on(edited, Reply(hold=second))
    leader = asyncio.create_task(send(closing, text))
    await upstream.until_called(text)
    twin = asyncio.create_task(send(closing, text, headers={"x-test-edit": edited}))
    assert (await closing.ask("until", flights=2))["flights"] == 2
    first.release()
    await upstream.until_called(edited)
    assert (await closing.ask("until", flights=1))["inside"] == 1
    second.release()
    answers = await asyncio.gather(leader, twin)
    assert [answer.headers["x-forebay-cache"] for answer in answers] == ["miss", "miss"]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    await closing.settled()


async def test_leader_leaves(closing: Proxy, upstream: Upstream) -> None:
    text = "the first one leaves"
    first, second = Hold(), Hold()
    upstream.on(text, Reply(hold=first), Reply(hold=second))
    leader = asyncio.create_task(send(closing, text))
    await upstream.until_called(text)
    async with closing.client() as client:
        tasks = [asyncio.create_task(ask(client, question(text))) for _ in range(6)]
        assert (await closing.ask("until", flights=7))["flights"] == 7
        await leave(leader)
        await upstream.until_called(text, 2)
        second.release()
        seen = await asyncio.gather(*tasks)
    first.release()
    await closing.settled()
    assert len(upstream.of(text)) == 2
    assert all(one == seen[0] for one in seen)


async def test_leader_fails(closing: Proxy, upstream: Upstream) -> None:
    """Its followers run on their own, at once, rather than fail one after another."""
    text = "the first one fails"
    hold = Hold()
    upstream.on(text, Reply(status=500, hold=hold), Reply())
    leader = asyncio.create_task(send(closing, text))
    await upstream.until_called(text)
    followers = [asyncio.create_task(send(closing, text)) for _ in range(4)]
    assert (await closing.ask("until", flights=5))["flights"] == 5
    hold.release()
    assert (await leader).status_code == 500
    assert {(await task).status_code for task in followers} == {200}
    await closing.settled()


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_leavers(either: Proxy, upstream: Upstream, seed: int) -> None:
    dice = random.Random(seed)
    async with either.http() as client:

        async def one(at: int) -> int | None:
            text = f"leaver {seed} {either.port} {dice.randrange(12)}"
            upstream.on(text, Reply(takes_s=0.05))
            body = {"model": "tiny", **question(text, stream=dice.random() < 0.5)}
            patience_s = dice.choice([0.05, 0.2, 0.6, 30.0])
            try:
                async with asyncio.timeout(patience_s):
                    return (await client.post("/v1/chat/completions", json=body)).status_code
            except TimeoutError:
                return None

        # one is in the engine before the crowd comes, and stays: on a slow machine all others may leave or be refused
        hold, patient = Hold(), f"patient {seed} {either.port}"
        upstream.on(patient, Reply(hold=hold))
        body = {"model": "tiny", **question(patient)}
        stays = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await upstream.until_called(patient)
        crowd = asyncio.gather(*(one(at) for at in range(40)))
        hold.release()
        statuses = [(await stays).status_code, *await crowd]
    assert set(statuses) <= {None, 200, 429}
    assert None in statuses
    assert 200 in statuses
    await either.settled()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_shed(short: Proxy, upstream: Upstream, stream: bool) -> None:
    known, inside, queued, refused = (f"{name} {stream}" for name in ("known", "in", "waits", "too many"))
    hold = Hold()
    upstream.on(inside, Reply(hold=hold))
    await send(short, known)
    await short.settled()
    first = asyncio.create_task(send(short, inside, stream=stream))
    await upstream.until_called(inside)
    second = asyncio.create_task(send(short, queued, stream=stream, num_retries=3, fallbacks=["warm"]))
    assert (await short.ask("until", queued=1))["queued"] == 1

    third = await send(short, refused, stream=stream, num_retries=3, fallbacks=["warm"])
    assert third.status_code == 429
    assert int(third.headers["retry-after"]) >= 1
    assert third.headers["x-forebay-cache"] == "shed"
    hit = await send(short, known, stream=stream)
    assert (hit.status_code, hit.headers["x-forebay-cache"]) == (200, "exact")

    waited = await second  # its second is over
    assert waited.status_code == 429
    assert int(waited.headers["retry-after"]) >= 1
    assert waited.headers["x-forebay-cache"] == "shed"
    hold.release()
    assert (await first).status_code == 200
    await short.settled()
    assert [len(upstream.of(text)) for text in (known, inside, queued, refused)] == [1, 1, 0, 0]


@pytest.fixture(scope="module")
def passing(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One at a time, nobody may wait; what is refused goes to LiteLLM's fallbacks."""
    settings = {**ONE_AT_A_TIME, "admission": {"max_queue": 0}, "litellm": {"shed": "fallback"}}
    with Proxy(tmp_path_factory.mktemp("passing"), Plan(upstream.url, forebay=settings)) as process:
        yield process


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_shed_to_fallbacks(passing: Proxy, upstream: Upstream, stream: bool) -> None:
    inside, passed, stuck = (f"{name} {stream}" for name in ("in there", "passed on", "has none"))
    hold = Hold()
    upstream.on(inside, Reply(hold=hold))
    first = asyncio.create_task(send(passing, inside, stream=stream))
    await upstream.until_called(inside)
    other = await send(passing, passed, stream=stream, fallbacks=["warm"])
    assert (other.status_code, other.headers["x-forebay-cache"]) == (200, "miss")
    refused = await send(passing, stuck, stream=stream)
    assert refused.status_code == 429
    hold.release()
    assert (await first).status_code == 200
    await passing.settled()
    assert [len(upstream.of(text)) for text in (inside, passed, stuck)] == [1, 1, 0]
