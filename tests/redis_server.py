"""A real Redis for tests: Debian's ``redis-server`` on a Unix socket in a folder of its own, which keeps nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

START_S = 20.0


class RedisServer:
    """The process; it runs while its ``with`` block is open. It can be stopped, killed and started again."""

    def __init__(self) -> None:
        binary = shutil.which("redis-server")
        assert binary is not None, "these tests need a real Redis: apt-get install redis-server"
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))  # a socket's path is short
        self._socket = self._folder / "s"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        with suppress(FileNotFoundError):
            self._socket.unlink()
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        ends = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < ends, "redis-server did not start"
            time.sleep(0.01)

    def freeze(self) -> None:
        """Let it hang: it takes connections and answers nobody."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; what it knew is gone."""
        self._send(signal.SIGCONT)
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def ask(self, *words: str) -> str:
        """Return the first line of the answer to a command."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self._socket))
            text = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            sock.sendall(f"*{len(words)}\r\n{text}".encode())
            with sock.makefile("rb") as answer:
                return answer.readline().decode().strip()

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
