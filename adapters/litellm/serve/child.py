"""One child process in the foreground: signals are passed on, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import FrameType

POLL_S: Final = 0.1
REPEAT_S: Final = 1.0
"""A second signal so soon is the first one again: a terminal and a parent process may both send it."""
GRACE_S: Final = 5.0
"""For a program that is ended because `on_ready` raised."""
FAILED: Final = 128
"""Added to the number of the signal that ended a process, as shells do."""
STOPPING: Final = "\nforebay: no new requests; those that run go on to their end. Once more (Ctrl-C) cuts them off.\n"
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Foreground:
    """Runs programs in the foreground while its ``with`` block is open.

    The first signal asks the program to end, as SIGTERM does; the second kills it. While no program runs, a signal
    raises SystemExit, so that what was made is cleaned up. Outside the main thread signals are left alone.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._asked_s: float | None = None
        self._killed: int | None = None
        self._before: dict[int, signal.Handlers | int | Callable[[int, FrameType | None], object] | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._on_signal) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        ready: Callable[[], bool],
        on_ready: Callable[[], None],
    ) -> int:
        """Run a program and return its status: 0 where it ended because it was asked to.

        Args:
            ready: asked again and again until it says yes.
            on_ready: called then, once; where it raises, the program is ended.
        """
        with self._started(command, env) as process:
            while process.poll() is None and self._asked_s is None:
                if ready():
                    if process.poll() is None:
                        on_ready()
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
            status = process.wait()
        if self._killed is not None:
            return FAILED + self._killed
        if status == -signal.SIGTERM and self._asked_s is not None:
            return 0
        return status if status >= 0 else FAILED - status

    @contextlib.contextmanager
    def _started(self, command: Sequence[str], env: Mapping[str, str]) -> Generator[subprocess.Popen[bytes]]:
        self._starting = True  # until the process is known, a signal only leaves its mark
        process = subprocess.Popen(  # noqa: S603  (our own program)
            list(command),
            stdin=subprocess.PIPE,  # its end tells the program that we are gone
            env=dict(env),
            start_new_session=True,  # a terminal's Ctrl-C reaches us alone, and once
        )
        self._process = process
        if self._asked_s is not None:
            process.terminate()
        try:
            yield process
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            raise
        finally:
            _kill_group(process.pid)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            self._process, self._starting = None, False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._starting:
            raise SystemExit(FAILED + number)
        if self._asked_s is None:
            self._asked_s = now
            # not print(): the program that was interrupted may be in the middle of one
            os.write(2, STOPPING.encode())
            if self._process is not None:
                # its leader alone: helpers it needs to finish must go on
                self._process.terminate()
        elif now - self._asked_s > REPEAT_S and self._process is not None:
            self._killed = number
            _kill_group(self._process.pid)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
