"""Clients that leave: the server hears of it, and nobody else loses anything."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.asgi.body import Incoming, Outgoing, WhileHere
from forebay.adapters.asgi.inner import AppFailedError, InnerCall
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, stored, until
from tests.middleware.parts import followers_of

TEXT = "one two three"
LIMITED: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}}


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_server_hears_at_once_that_its_only_client_left(stream: bool, spec: str, tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path, **LIMITED) as app:
        client = Client(app, asked(stream=stream), spec=spec)
        await until(lambda: voice.running == 1)
        if stream:
            voice.go(1)
            await until(lambda: client.bodies)
        began = time.monotonic()
        client.leave()
        await client.done()
        assert time.monotonic() - began < 1.0
        assert (voice.running, voice.left) == (0, 1)
        pipeline = runtime_of(app).pipeline
        assert (pipeline.inflight, pipeline.gate.load.inflight) == (0, 0)
        assert await stored(app) == 0
        voice.go()
        assert (await Client(app, asked(stream=stream)).done()).text == TEXT


async def test_one_who_leaves_the_queue_never_reaches_the_server(tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path, **LIMITED) as app:
        first = Client(app, asked("one"))
        await until(lambda: voice.running == 1)
        waiting = Client(app, asked("another"))
        gate = runtime_of(app).pipeline.gate
        await until(lambda: gate.load.queued == 1)
        waiting.leave()
        await waiting.done()
        assert (gate.load.queued, waiting.messages) == (0, [])
        voice.go()
        assert (await first.done()).text == TEXT
        assert voice.calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_twin_that_leaves_takes_nothing_from_the_others(stream: bool, tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path) as app:
        clients = [Client(app, asked(stream=stream)) for _ in range(3)]
        await until(lambda: voice.running == 1 and runtime_of(app).pipeline.inflight == 3)
        voice.go(1)
        clients[1].leave()
        await clients[1].done()
        voice.go()
        for client in (clients[0], clients[2]):
            assert (await client.done()).text == TEXT
        assert (voice.calls, voice.left) == (1, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_leader_that_leaves_hands_over(stream: bool, tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path, **LIMITED) as app:
        leader = Client(app, asked(stream=stream))
        await until(lambda: voice.running == 1)
        twins = [Client(app, asked(stream=stream)) for _ in range(3)]
        await until(lambda: runtime_of(app).pipeline.inflight == 4)
        voice.go(1)
        await until(lambda: not followers_of(runtime_of(app)))
        leader.leave()
        await leader.done()
        voice.go()
        for twin in twins:
            assert (await twin.done()).text == TEXT
        assert (voice.calls, voice.left) == (1, 0)
        assert await stored(app) == 1
        assert runtime_of(app).pipeline.gate.load.inflight == 0


async def test_two_hundred_come_and_go_at_random(tmp_path: Path) -> None:
    rng = random.Random(7)
    voice = Voice("one two three four five", held=True)
    limits: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 3}, "admission": {"max_queue": 1000}}
    async with fronted(server(voice), tmp_path, **limits) as app:
        clients: list[Client] = []
        leavers: set[int] = set()
        for number in range(200):
            body = asked(f"question {rng.randrange(40)}", stream=rng.random() < 0.7)
            clients.append(Client(app, body, spec=rng.choice(["2.3", "2.4"])))
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            if rng.random() < 0.6:
                voice.go(rng.randrange(3))
            leaver = rng.randrange(max(0, number - 15), number + 1)
            if rng.random() < 0.6 and not clients[leaver].task.done():
                clients[leaver].leave()
                leavers.add(leaver)
        runtime = runtime_of(app)
        voice.held = False
        voice.go(10_000)
        for at, client in enumerate(clients):
            await client.done()
            if at not in leavers:
                assert client.text == "one two three four five", at
        assert len(leavers) > 60
        pipeline = runtime.pipeline
        kept = await stored(app)
        assert (voice.running, pipeline.inflight) == (0, 0)
        assert (pipeline.gate.load.inflight, pipeline.gate.load.queued) == (0, 0)
        assert 0 < kept <= 40
        before = voice.calls
        for number in range(40):
            again = await Client(app, asked(f"question {number}", stream=True)).done()
            assert again.text == "one two three four five"  # nothing partial was kept
        assert voice.calls - before <= 40 - kept


async def test_an_app_that_does_not_listen_is_ended_all_the_same() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    call = InnerCall(app, {}, [])
    messages = call.messages()
    assert (await anext(messages))["status"] == 200
    began = time.monotonic()
    await messages.aclose()
    await until(lambda: ended)
    assert time.monotonic() - began < 1.0


async def test_an_app_that_says_much_waits_for_its_client() -> None:
    said: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for at in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            said.append(at)
        raise KeyError(1)

    messages = InnerCall(app, {}, []).messages()
    await anext(messages)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(said) < 20
    with pytest.raises(AppFailedError):
        async for _ in messages:
            pass
    assert len(said) == 100


async def test_only_the_clients_own_leaving_is_swallowed() -> None:
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    async def here() -> bool:
        incoming = Incoming(receive)
        async with WhileHere(incoming, Outgoing(send)):
            await asyncio.Event().wait()
        return incoming.left

    waiting = asyncio.create_task(here())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.create_task(here())
    await asyncio.sleep(0)
    gone.set()
    assert await waiting
    assert waiting.cancelling() == 0
