"""Batch files, a server to ask, and the command in this process or in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from forebay.adapters.batch.command import run
from forebay.adapters.batch.screen import Screen
from forebay.middleware.analysis.stream import Savings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from forebay.middleware.analysis.stream import Arrival
    from forebay.middleware.protocols import Acceptance

CHAT = "/v1/chat/completions"


def line(custom_id: str, question: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "small", "messages": [{"role": "user", "content": question}], **fields}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def write(path: Path, lines: Iterable[Any]) -> Path:
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines)
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text(encoding="utf-8").splitlines()]


def texts(path: Path) -> list[str]:
    return [each["response"]["body"]["choices"][0]["message"]["content"] for each in read(path)]


@contextmanager
def serving(folder: Path, seconds: float = 0.0) -> Generator[Served]:
    """Run the server; ends it, however."""
    log = folder / "asked.jsonl"
    log.touch()
    program = Path(__file__).with_name("served.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(seconds), str(log)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Served(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log)
        finally:
            process.kill()


class Served:
    """A running server: its url, and what it was asked."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    @property
    def asked(self) -> list[dict[str, Any]]:
        return read(self._log)


class Place:
    """A folder with a batch file and a config on in-memory parts."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.source = folder / "in.jsonl"
        self.out = folder / "out.jsonl"
        self.errors = folder / "out.errors.jsonl"
        self.journal = folder / "out.jsonl.journal"
        self.config = folder / "forebay.yaml"
        self.said = ""
        base = {
            "state_dir": str(folder / "state"),
            "store": {"type": "memory"},
            "embedder": {"type": "hashing"},
            "audits": {"enabled": False},
        }
        self.config.write_text(yaml.safe_dump({**base, **settings}), encoding="utf-8")

    def words(self, *more: str) -> list[str]:
        return [str(self.source), str(self.out), "--config", str(self.config), *more]

    def run(self, *more: str) -> int:
        """Run the command in this process; what it says is in `said`."""
        out = Console(record=True, width=200, file=(self.folder / "said.txt").open("w"), highlight=False)
        try:
            return run(self.words(*more), nothing, Screen(out, out))
        finally:
            self.said = out.export_text()
            out.file.close()

    def process(self, *more: str) -> subprocess.Popen[str]:
        """Start the command in a process of its own."""
        command = [sys.executable, "-m", "forebay", "batch", *self.words(*more)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)


def nothing(acceptance: Acceptance, arrivals: Sequence[Arrival]) -> Savings:
    return Savings()
