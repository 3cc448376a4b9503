"""``forebay front`` and a real uvicorn: over the wire, before an engine of tests and before llama.cpp."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from anthropic import AsyncAnthropic

from forebay.adapters.demo.children import Child, free_port, stop_all
from tests.integration.asking import CHAT
from tests.integration.front import Front
from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {"store": {"type": "memory"}, "cache": {"semantic": "off"}}
FIELDS = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/responses": "input",
    "/v1/messages": "messages",
    "/v1/embeddings": "input",
}


@pytest.fixture(scope="module")
def before(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with Front(tmp_path_factory.mktemp("front"), upstream.root, SETTINGS) as process:
        yield process


def body(path: str, text: str, **more: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": text}] if FIELDS[path] == "messages" else text
    return {"model": "tiny", "max_tokens": 50, FIELDS[path]: asked, **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", FIELDS)
async def test_on_the_wire_a_miss_is_what_the_server_sends(
    path: str, stream: bool, fixed: Upstream, tmp_path: Path
) -> None:
    more = {"stream": True} if stream and path != "/v1/embeddings" else {}
    with Front(tmp_path, fixed.root, SETTINGS) as process:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            answers = [
                await http.post(f"{root}{path}", json=body(path, f"wire {stream}", **more))
                for root in (fixed.root, process.url)
            ]
    alone, behind = answers
    shown = [pair for pair in behind.headers.multi_items() if not pair[0].startswith("x-forebay")]
    assert behind.content == alone.content
    dated = {"date", "transfer-encoding", "connection"}
    assert {pair for pair in shown if pair[0] not in dated} == {
        pair for pair in alone.headers.multi_items() if pair[0] not in dated
    }
    assert (behind.headers.get("x-forebay-cache") == "miss") == (path in list(FIELDS)[:2] or path == "/v1/messages")


async def test_clients_are_answered_from_the_cache(before: Front, upstream: Upstream) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "front: clients"}]}
    async with before.client() as client:
        completions: Any = client.chat.completions
        first = await completions.create(**asked)
        again = await completions.with_raw_response.create(**asked)
        assert again.headers["x-forebay-cache"] == "exact"
        assert again.parse().choices == first.choices
        stream = await completions.create(**asked, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert said == first.choices[0].message.content
        assert chunks[-1].usage == first.usage
    assert len(upstream.of("front: clients")) == 1
    texts: list[str] = []
    async with AsyncAnthropic(base_url=before.url, api_key="k", max_retries=0) as claude:
        for _ in range(2):
            async with claude.messages.stream(
                model="tiny", max_tokens=50, messages=[{"role": "user", "content": "front: claude"}]
            ) as events:
                texts.append(await events.get_final_text())
            await before.until(0)
    assert texts[0] == texts[1] != ""
    assert len(upstream.of("front: claude")) == 1


async def test_a_hundred_twins_are_one_call_and_those_who_leave_take_nothing(before: Front, upstream: Upstream) -> None:
    prompt = "front: twins"
    hold = Hold()
    upstream.on(prompt, Reply(hold_middle=hold))
    hearing, all_hear = 0, asyncio.Event()
    async with before.http() as http:

        async def ask() -> str:
            nonlocal hearing
            async with http.stream("POST", CHAT.path, json=body(CHAT.path, prompt, stream=True)) as answer:
                parts = answer.aiter_text()
                said = await anext(parts)
                hearing += 1
                if hearing == 100:
                    all_hear.set()
                return said + "".join([part async for part in parts])

        asking = [asyncio.create_task(ask()) for _ in range(100)]
        async with asyncio.timeout(20):
            await all_hear.wait()  # when a leader leaves before its first word, another computes anew
        await before.until(100)
        for task in asking[:50]:
            task.cancel()
        await asyncio.wait(asking[:50])
        await before.until(50)
        hold.release()
        said = set(await asyncio.gather(*asking[50:]))
    assert len(said) == 1
    assert said.pop().endswith("data: [DONE]\n\n")
    (call,) = upstream.of(prompt)
    assert not call.left


async def test_the_last_one_who_leaves_ends_the_call(before: Front, upstream: Upstream) -> None:
    prompt = "front: left"
    upstream.on(prompt, Reply(hold=Hold()))
    async with before.http() as http:
        asking = asyncio.create_task(http.post(CHAT.path, json=body(CHAT.path, prompt)))
        await upstream.until_called(prompt)
        asking.cancel()
        async with asyncio.timeout(1.0):
            await upstream.until_left(prompt)


def test_it_ends_when_it_is_asked_to(upstream: Upstream, tmp_path: Path) -> None:
    with Front(tmp_path, upstream.root, SETTINGS) as process:
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(20) == 0


def test_a_wrong_config_ends_it_at_once(upstream: Upstream, tmp_path: Path) -> None:
    process = Front(tmp_path, upstream.root, {"front": {"auth_paht": "/x"}})
    assert process.spawn().wait(30) == 2
    assert "auth_path" in process.log


def test_a_server_with_the_middleware_does_not_start_on_a_wrong_config(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(
        textwrap.dedent(
            """
            import uvicorn
            from starlette.applications import Starlette
            from forebay.adapters.asgi import ForebayMiddleware

            app = Starlette()
            app.add_middleware(ForebayMiddleware)
            uvicorn.run(app, port=0, log_level="info")
            """
        ),
        encoding="utf-8",
    )
    env = {**os.environ, "FOREBAY_CONFIG": str(tmp_path / "none.yaml")}
    done = subprocess.run(
        [sys.executable, "served.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "forebay does not start" in done.stderr
    assert "none.yaml" in done.stderr
    assert "Uvicorn running" not in done.stderr


async def test_before_a_real_model(tmp_path: Path) -> None:
    """llama.cpp's server: an answer, its repetition, twins, and a client that leaves."""
    port = free_port()
    command = [sys.executable, "-m", "forebay.adapters.demo.model_server", str(port)]
    child = Child("model", command, log=tmp_path / "model.log", env=os.environ, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            async with asyncio.timeout(120.0):
                while True:
                    child.check()
                    try:
                        if (await http.get(f"{url}/health")).is_success:
                            break
                    except httpx.HTTPError:
                        await asyncio.sleep(0.1)
            with Front(tmp_path, url, {**SETTINGS, "limit": {"type": "fixed", "max_inflight": 4}}) as process:
                asked = {
                    "model": "smollm2",
                    "temperature": 0,
                    "messages": [{"role": "user", "content": "What is the capital of France?"}],
                }
                answers = [await http.post(f"{process.url}{CHAT.path}", json=asked) for _ in range(2)]
                assert [answer.headers["x-forebay-cache"] for answer in answers] == ["miss", "exact"]
                assert answers[0].json() == answers[1].json()
                assert "Paris" in answers[0].text
                streamed = {**asked, "stream": True, "max_tokens": 40}
                twins = await asyncio.gather(*(http.post(f"{process.url}{CHAT.path}", json=streamed) for _ in range(4)))
                assert len({twin.content for twin in twins}) == 1
                assert sorted(twin.headers["x-forebay-cache"] for twin in twins) == ["inflight"] * 3 + ["miss"]
                long = {**asked, "stream": True, "ignore_eos": True, "max_tokens": 1500}
                async with http.stream("POST", f"{process.url}{CHAT.path}", json=long) as answer:
                    await anext(answer.aiter_raw())
                async with asyncio.timeout(1.0):
                    while _processing((await http.get(f"{url}/metrics")).text):  # noqa: ASYNC110  (another process)
                        await asyncio.sleep(0.05)
                load = (await process.status())["load"]
                assert load == {"inflight": 0, "inside": 0, "queued": 0}
    finally:
        stop_all([child])


def _processing(metrics: str) -> float:
    (line,) = (line for line in metrics.splitlines() if line.startswith("llamacpp:requests_processing"))
    return float(line.split()[-1])
