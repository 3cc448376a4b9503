"""A real vLLM server as a process, as ``forebay vllm serve`` starts it or as ``vllm serve`` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx

from tests.integration.proxy import free_port
from tests.vllm.model import FOLDER
from tests.vllm.real import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

START_S: Final = 240.0
KEYS: Final = ("right", "other")
WORDS: Final = "--dtype float32 --enforce-eager --max-model-len 2048 --max-num-seqs 4 --served-model-name tiny"
EXACT_ONLY: Final = """\
store: {type: memory}
cache: {semantic: "off"}
"""
"""A config with which equal requests are answered, and nothing is kept on disk."""
FOREBAY: Final = ("forebay", "vllm", "serve")
BARE: Final = ("vllm.entrypoints.cli.main", "serve")


class Server:
    """The process; it runs while its ``with`` block is open. Its model is called "tiny".

    Args:
        folder: for its config and log.
        config: text of forebay's config file.
        arguments: more of vLLM's own.
        command: a module and its words.
        env: more of its environment.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        arguments: Sequence[str] = (),
        *,
        command: Sequence[str] = FOREBAY,
        env: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._log = folder / "serve.log"
        (folder / "forebay.yaml").write_text(config, encoding="utf-8")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith(("FOREBAY", "OTEL_", "PROMETHEUS"))
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", *command, str(FOLDER), *WORDS.split(), *arguments),
                    *("--port", str(self.port), "--api-key", *KEYS),
                ],
                cwd=folder,
                env={**inherited, **ENVIRONMENT, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its engine's processes are in its group
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)

    def wait_until_ready(self) -> None:
        ends = time.monotonic() + START_S
        with self.client() as client:
            while True:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < ends, self.log
                try:
                    if client.get("/health").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.2)

    def left(self) -> list[int]:
        """Processes of its group that still are."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    text = (entry / "stat").read_text(encoding="ascii")
                except OSError:
                    continue
                state, _, group = text.rpartition(") ")[2].split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    found.append(int(entry.name))
        return found

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill what is left of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(20)
