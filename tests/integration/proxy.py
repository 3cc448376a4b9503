"""A real ``litellm --config`` process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml
from openai import AsyncOpenAI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

FOREBAY = "forebay.adapters.litellm.handler"
RECORDER = "recorder.recorder"
START_S = 180.0
SCRIPT = Path(sys.executable).with_name("litellm")


@dataclass(slots=True)
class Plan:
    """What a proxy is started with.

    Attributes:
        forebay: forebay's settings, None for LiteLLM alone.
        raw: text of forebay's config file in place of the settings.
        litellm: more ``litellm_settings``, after the callbacks; `first` before them.
        router: more ``router_settings``.
        models: more of the proxy's models.
        arguments: more words of the command line.
    """

    upstream: str
    forebay: Mapping[str, Any] | None = None
    raw: str | None = None
    first: Mapping[str, Any] = field(default_factory=dict[str, Any])
    litellm: Mapping[str, Any] = field(default_factory=dict[str, Any])
    general: Mapping[str, Any] = field(default_factory=dict[str, Any])
    router: Mapping[str, Any] = field(default_factory=dict[str, Any])
    callbacks: tuple[str, ...] = (FOREBAY, RECORDER)
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    models: Sequence[Mapping[str, Any]] = ()
    arguments: Sequence[str] = ()


class Proxy:
    """The process; it runs while its ``with`` block is open."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.key = f"sk-{secrets.token_urlsafe(32)}"
        self.port = free_port()
        self.state_dir = folder / "state"
        self._questions = free_port()
        self._plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "proxy.log"

    @property
    def cancels(self) -> bool:
        """Whether LiteLLM cancels a call whose client has left."""
        return self._plan.general.get("cancel_on_disconnect") is True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.spawn()
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to serve."""
        plan = self._plan
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("recorder.py", "auth.py"):
            shutil.copy(Path(__file__).with_name(name), self.folder / name)
        settings: dict[str, Any] = {**plan.first, "callbacks": list(plan.callbacks), **plan.litellm}
        config = {
            "model_list": [*models(plan.upstream), *map(dict, plan.models)],
            "litellm_settings": settings,
            "router_settings": {"num_retries": 0, "disable_cooldowns": True, "retry_after": 0, **plan.router},
            "general_settings": {"master_key": self.key, **plan.general},
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        ours = self.folder / "forebay.yaml"
        ours.write_text(
            plan.raw
            if plan.raw is not None
            else yaml.safe_dump({"state_dir": str(self.state_dir), **(plan.forebay or {})}),
            encoding="utf-8",
        )
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith(("FOREBAY", "OTEL_", "LITELLM", "DATABASE"))
        }
        env |= {
            "FOREBAY_CONFIG": str(ours),
            "RECORDER_PORT": str(self._questions),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "WARNING",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            **plan.env,
        }
        command = [str(SCRIPT), "--config", str(path), "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--telemetry", "False", *plan.arguments],
                cwd=self.folder,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._process

    def kill(self) -> None:
        """End the whole process group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)

    def terminate(self, timeout_s: float) -> float:
        """Send SIGTERM and return how many seconds the process took to end."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        self._process.wait(timeout_s)
        return time.monotonic() - began

    def client(self, key: str | None = None) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=60)

    def http(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    async def ask(self, what: str, **more: Any) -> Any:
        """Ask the recorder in the proxy."""
        return await asyncio.to_thread(self._ask, what, **more)

    async def settled(self) -> dict[str, Any]:
        """Wait until forebay has given everything back, and return its state."""
        nothing = {"inside": 0, "queued": 0, "flights": 0, "settling": 0, "twins": 0, "audits": 0}
        state: dict[str, Any] = await self.ask("until", **nothing)
        assert {name: state[name] for name in nothing} == nothing, self.log[-4000:]
        return state

    async def logged(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return what LiteLLM logged about the call whose response headers these are."""
        found: dict[str, Any] | None = await self.ask("logged", call=headers["x-litellm-call-id"])
        assert found is not None, "LiteLLM logged nothing"
        return found

    def _ask(self, what: str, **more: Any) -> Any:
        with socket.create_connection(("127.0.0.1", self._questions), timeout=30) as sock:
            sock.sendall(json.dumps({"ask": what, **more}).encode() + b"\n")
            with sock.makefile("rb") as answer:
                return json.loads(answer.readline())

    def _wait(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + START_S
        with httpx.Client(trust_env=False, timeout=2) as client:
            while time.monotonic() < ends:
                assert self._process.poll() is None, f"the proxy ended:\n{self.log[-6000:]}"
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(f"{self.url}/health/liveliness").is_success:
                        break
                time.sleep(0.05)
            else:
                raise AssertionError(f"the proxy did not start:\n{self.log[-6000:]}")
        if RECORDER in self._plan.callbacks and FOREBAY in self._plan.callbacks:
            state = self._ask("until", ready=True)
            assert state.get("ready"), f"forebay did not start: {state}\n{self.log[-6000:]}"


def models(upstream: str) -> list[dict[str, Any]]:
    """The proxy's models: all are the one engine, with different settings."""
    common = {"api_base": upstream, "api_key": "not-needed", "max_retries": 0}
    info = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
    settings: dict[str, dict[str, Any]] = {"tiny": {}, "warm": {"temperature": 0.4, "max_tokens": 64}, "other": {}}
    made = [
        {"model_name": name, "litellm_params": {"model": "openai/tiny", **more, **common}, "model_info": info}
        for name, more in settings.items()
    ]
    # the same engine in Anthropic's own format
    claude = {"model": "anthropic/tiny", **common, "api_base": upstream.removesuffix("/v1")}
    return [*made, {"model_name": "claude", "litellm_params": claude, "model_info": info}]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
