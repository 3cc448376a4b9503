from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import os, sys
from forebay.adapters.litellm.serve import child
child.REPEAT_S = 0.0
ready = lambda: os.path.exists(sys.argv[2])
with child.Foreground() as foreground:
    if sys.argv[1] == "wait":
        print("up", flush=True)
        sys.stdin.read()
    command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
    status = foreground.run(command, dict(os.environ), ready=ready, on_ready=lambda: print("up", flush=True))
sys.exit(status)
"""
NOTES = "import os, signal, sys, time\ndef note():\n    open(sys.argv[1], 'w').write(str(os.getpid()))\n"
FINISHES = (
    NOTES
    + "def on(*_):\n    print('finished', flush=True)\n    os._exit(7)\n"
    + "signal.signal(signal.SIGTERM, on)\nnote()\nsignal.pause()\n"
)
STUBBORN = NOTES + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote()\nwhile True: signal.pause()\n"
PLAIN = NOTES + "note()\nsignal.pause()\n"
WATCHED = (
    NOTES + "from forebay.adapters.litellm.serve.proxy import end_with_stdin\n"
    "end_with_stdin()\nnote()\ntime.sleep(60)\n"
)
ENDS = (
    NOTES + "from forebay.adapters.litellm.serve.proxy import end_with_stdin\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nend_with_stdin()\nnote()\nsignal.pause()\n"
)


class Parent:
    """A process that runs a program in the foreground."""

    def __init__(self, program: str, mark: Path) -> None:
        self.mark = mark
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, program, str(mark)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def said(self) -> str:
        """Return the next line of its standard error that is not empty."""
        assert self.process.stderr is not None
        return next(line for line in self.process.stderr if line.strip())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_program_finish_and_its_status_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    parent = Parent(FINISHES, tmp_path / "mark")
    parent.send(number)
    status, out, err = parent.ended()
    assert (status, out) == (7, "finished\n")
    assert "go on to their end" in err


def test_an_end_that_was_asked_for_is_no_failure(tmp_path: Path) -> None:
    parent = Parent(PLAIN, tmp_path / "mark")
    parent.send(signal.SIGTERM)
    assert parent.ended()[0] == 0


def test_a_second_signal_kills(tmp_path: Path) -> None:
    parent = Parent(STUBBORN, tmp_path / "mark")
    parent.send(signal.SIGTERM)
    assert "Ctrl-C" in parent.said()
    parent.send(signal.SIGINT)
    assert parent.ended()[0] == 128 + signal.SIGINT


def test_a_signal_that_nobody_sent_us_is_a_failure(tmp_path: Path) -> None:
    parent = Parent(PLAIN, tmp_path / "mark")
    os.kill(int(parent.mark.read_text()), signal.SIGKILL)
    assert parent.ended()[0] == 128 + signal.SIGKILL


def test_before_anything_runs_a_signal_ends_us_with_cleaning_up(tmp_path: Path) -> None:
    parent = Parent("wait", tmp_path / "mark")
    parent.send(signal.SIGTERM)
    assert parent.ended()[0] == 128 + signal.SIGTERM


def test_a_program_that_watches_for_our_end_can_end_before(tmp_path: Path) -> None:
    parent = Parent(ENDS, tmp_path / "mark")
    parent.send(signal.SIGTERM)
    status, _, err = parent.ended()
    assert (status, "Fatal" in err) == (3, False)


def test_the_program_does_not_outlive_us(tmp_path: Path) -> None:
    parent = Parent(WATCHED, tmp_path / "mark")
    parent.send(signal.SIGKILL)
    # its standard output is ours: that ends only when both have
    assert parent.ended()[0] == -signal.SIGKILL
