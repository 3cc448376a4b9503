"""A real ``forebay front`` process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml
from openai import AsyncOpenAI

from tests.integration.proxy import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

START_S = 60.0


class Front:
    """The process; it runs while its ``with`` block is open.

    Args:
        upstream: address of the server behind it.
        settings: forebay's.
    """

    def __init__(self, folder: Path, upstream: str, settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        self._config = folder / "forebay.yaml"
        self._config.write_text(yaml.safe_dump({"state_dir": str(folder / "state"), **settings}), encoding="utf-8")
        self._log = folder / "front.log"
        self._upstream = upstream
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to serve."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("FOREBAY", "OTEL_"))}
        command = [str(Path(sys.executable).with_name("forebay")), "front", "--upstream", self._upstream]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--config", str(self._config)],
                env={**env, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self.process

    def __enter__(self) -> Self:
        process = self.spawn()
        ends = time.monotonic() + START_S
        while "Ctrl-C stops it" not in self.log:
            assert process.poll() is None, self.log[-4000:]
            assert time.monotonic() < ends, self.log[-4000:]
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)

    def client(self, key: str = "none") -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False)

    async def status(self) -> dict[str, Any]:
        async with self.http() as http:
            found: dict[str, Any] = (await http.get("/forebay/status")).json()
            return found

    async def until(self, inflight: int) -> None:
        """Wait until so many requests are on their way."""
        async with asyncio.timeout(20):
            while (await self.status())["load"]["inflight"] != inflight:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.02)
