"""``forebay serve`` with a real LiteLLM process behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.integration.proxy import START_S, free_port
from tests.integration.upstream import Hold, Reply, Upstream

pytestmark = pytest.mark.slow


class Serve:
    """The process, from where it is started to where it is ready."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self.temporary = folder / "tmp"
        self._log = folder / "serve.log"
        self.temporary.mkdir()
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith(("FOREBAY", "OTEL_", "LITELLM", "DATABASE"))
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "forebay", "serve", *words, "--port", str(self.port)],
                cwd=folder,
                env={**env, "TMPDIR": str(self.temporary), "PYTHONWARNINGS": "ignore"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # its child sees that and ends
        self.process.wait(20)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def ready(self) -> None:
        ends = time.monotonic() + START_S
        while "Ctrl-C stops it" not in self.log:
            assert self.process.poll() is None, self.log[-4000:]
            assert time.monotonic() < ends, self.log[-4000:]
            await asyncio.sleep(0.05)

    async def refuses(self) -> None:
        """Wait until it takes no new connections."""
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    return
                writer.close()
                await asyncio.sleep(0.02)


def body(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": prompt}], **more}


async def until_forebay_takes_part(client: httpx.AsyncClient) -> None:
    """Ask past the cache until the header is there: forebay starts when the proxy already answers."""
    async with asyncio.timeout(60):
        while True:
            answer = await client.post("/chat/completions", json=body("hello"), headers={"x-forebay-bypass": "1"})
            if "x-forebay-cache" in answer.headers:
                return
            await asyncio.sleep(0.1)


async def test_serve_answers_from_the_cache_and_lets_a_stream_finish(upstream: Upstream, tmp_path: Path) -> None:
    hold = Hold()
    upstream.on("a slow stream", Reply(text="one two three four five six", hold_middle=hold))
    with Serve(tmp_path, upstream.url) as serve:
        await serve.ready()
        async with httpx.AsyncClient(base_url=f"{serve.url}/v1", timeout=60, trust_env=False) as client:
            await until_forebay_takes_part(client)
            first = await client.post("/chat/completions", json=body("twice"))
            second = await client.post("/chat/completions", json=body("twice"))
            assert first.headers["x-forebay-cache"] == "miss"
            # its twin, where the first one's answer is still being put away
            assert second.headers["x-forebay-cache"] in ("exact", "inflight")
            assert second.json()["id"] == first.json()["id"]
            assert len(upstream.of("twice")) == 1

            stream = client.stream("POST", "/chat/completions", json=body("a slow stream", stream=True))
            async with stream as response:
                lines = response.aiter_lines()
                await anext(lines)
                serve.process.send_signal(signal.SIGTERM)
                await serve.refuses()
                assert serve.process.poll() is None
                hold.release()
                rest = [line async for line in lines]
            assert rest[-2:] == ["data: [DONE]", ""]
            assert "six" in "".join(rest)
        assert await asyncio.to_thread(serve.process.wait, 60) == 0, serve.log[-4000:]
        assert list(serve.temporary.glob("forebay-*")) == []
        assert f"base_url  {serve.url}/v1" in serve.log
        assert (tmp_path / ".forebay").is_dir()
        assert "Stopped." in serve.log


async def test_a_provider_that_litellm_does_not_know_ends_the_start(tmp_path: Path) -> None:
    with Serve(tmp_path, "nosuchprovider/model") as serve:
        assert await asyncio.to_thread(serve.process.wait, START_S) == 2
        assert "LiteLLM took no model 'model' from it" in serve.log
        assert list(serve.temporary.glob("forebay-*")) == []
