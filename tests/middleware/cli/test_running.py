"""Commands beside a process that serves: what it holds is forgotten there, and it is seen."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.cli import cache
from tests.middleware.cli.conftest import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Outcome]

SERVE = """
import asyncio, sys
from forebay import Runtime
from forebay.middleware.config import load_config
from forebay.testing import ScriptedEngine, chat

async def main():
    runtime = Runtime(load_config("forebay.yaml"))
    await runtime.start()
    for at in range(3):
        await runtime.pipeline.handle(chat(f"question {at}"), ScriptedEngine())
    await runtime.pipeline.drain(10.0)
    print(await runtime.keeper.store.count(), flush=True)
    loop = asyncio.get_running_loop()
    asked = await loop.run_in_executor(None, sys.stdin.readline)
    print(await runtime.keeper.store.count(), flush=True)
    await runtime.stop()

asyncio.run(main())
"""


@pytest.fixture(params=["milvus", "memory"])
def serving(request: pytest.FixtureRequest, config: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that serves and has kept three answers."""
    config.write_text(config.read_text(encoding="utf-8").replace("type: milvus", f"type: {request.param}"))
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-Wignore", "-c", SERVE], stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "3\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_running_process_holds_is_forgotten_there(forebay: Run, serving: subprocess.Popen[str]) -> None:
    assert forebay("cache", "forget", "--model", "another").status == 1
    outcome = forebay("cache", "forget", "--model", "test-model")
    assert outcome.out == "dropped 3 answers, 1 running process told\n", outcome.err
    assert outcome.status == 0
    said, _ = serving.communicate("\n")
    assert said == "0\n"
    assert serving.returncode == 0


def test_a_tenant_is_erased_from_a_running_process(forebay: Run, serving: subprocess.Popen[str]) -> None:
    outcome = forebay("cache", "erase", "--tenant", "tests", "--yes", "--json")
    assert outcome.status == 0, outcome.err
    said = json.loads(outcome.out)
    assert said["removed"]["answers in running processes"] == 3
    assert said["removed"]["explanations of requests"] == 3
    assert (said["left"], said["processes"]) == (0, {"told": 1, "answered": 1})
    out, _ = serving.communicate("\n")
    assert out == "0\n"


def test_a_running_process_hears_of_a_bump(forebay: Run, serving: subprocess.Popen[str]) -> None:
    outcome = forebay("cache", "bump", "--tenant", "tests")
    assert "1 running process told" in outcome.out, outcome.err
    assert outcome.status == 0
    out, _ = serving.communicate("\n")
    assert out == "3\n"  # none is deleted, and none is served


def test_a_process_that_does_not_answer_is_said(
    forebay: Run, serving: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_S", 0.3)
    serving.send_signal(signal.SIGSTOP)
    outcome = forebay("cache", "clear", "--yes")
    assert outcome.status == 2
    assert "1 of 1 running processes have not answered" in outcome.err
    serving.send_signal(signal.SIGCONT)
    monkeypatch.setattr(cache, "WAIT_S", 10.0)
    assert forebay("cache", "clear", "--yes").status == 0  # it did the first one as soon as it could
    said, _ = serving.communicate("\n")
    assert said == "0\n"


def test_doctor_sees_the_workers(forebay: Run, serving: subprocess.Popen[str]) -> None:
    found = {each["name"]: each for each in json.loads(forebay("doctor", "--json").out)["findings"]}
    assert found["workers"]["detail"].startswith(f"1 running: pid {serving.pid}")
    assert found["coordination"]["level"] == "ok"
    forebay_again = json.loads(forebay("doctor", "--json").out)["findings"]
    assert any("1 running" in each["detail"] for each in forebay_again)  # it does not count itself
