"""Child processes of the demo: each in a group of its own, with a log file, ended for certain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final

from ...middleware.errors import ForebayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAIL_LINES: Final = 15
GRACE_S: Final = 5.0


class ChildDiedError(ForebayError):
    """A child process ended by itself, or never got ready (status None); carries the end of its log."""

    def __init__(self, name: str, status: int | None, tail: str) -> None:
        self.tail = tail
        what = "did not get ready in time" if status is None else f"ended with status {status}"
        super().__init__(f"the {name} {what}; the end of its log is above")


class Child:
    """One running program.

    Args:
        name: for messages.
        log: file that takes its output.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  (our own programs)
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    def check(self) -> None:
        """Return if it runs.

        Raises:
            ChildDiedError: it ended.
        """
        status = self._process.poll()
        if status is not None:
            raise ChildDiedError(self.name, status, self.tail())

    def tail(self) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])

    def ask_to_stop(self) -> None:
        """Ask its whole group to end, without waiting."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._signal(signal.SIGTERM)

    def stop(self, deadline_s: float) -> None:
        """Wait for its end until a moment of `time.monotonic`, then kill its whole group."""
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # all of the group has ended


def stop_all(children: Sequence[Child]) -> None:
    """End several at once."""
    for child in children:
        child.ask_to_stop()
    deadline_s = time.monotonic() + GRACE_S
    for child in children:
        child.stop(deadline_s)


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
