"""A process that is killed while it writes and makes room leaves whole entries behind, and all that it acknowledged.

`FOREBAY_KILLS` says how often it is killed, `FOREBAY_KILLS_SEED` when: after so many random milliseconds of writing.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from forebay.middleware.records import EVERYTHING
from tests.contract.entries import key_of, make_entry
from tests.safety.killed_child import CAPACITY, keeper_of

KILLS = int(os.environ.get("FOREBAY_KILLS", "20"))
SEED = int(os.environ.get("FOREBAY_KILLS_SEED", "1"))
ROOT = Path(__file__).parents[2]


async def killed(folder: Path, run: str, after_s: float) -> list[str]:
    """Let a process write for so long, kill it, and return what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.safety.killed_child", str(folder), run, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(60.0):
        assert await child.stdout.readline() == b"ready\n"
        await asyncio.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        said = (await child.stdout.read()).decode().split("\n")
        await child.wait()
    return said[:-1]  # the last line may be cut off


class Books:
    """What must be there: acknowledged, and not said to be dropped since."""

    def __init__(self) -> None:
        self.until_s: dict[str, float] = {}
        self.order: list[str] = []

    def note(self, said: list[str]) -> int:
        for line in said:
            _, name, until_s, gone = line.split(" ")
            self.until_s[name] = float(until_s)
            self.order = [each for each in self.order if each != name] + [name]
            for each in filter(None, gone.split(",")):
                if each != name:
                    self.until_s.pop(each, None)
        return len(said)

    def must(self) -> set[str]:
        """Return what is kept surely: an eviction may have been done and not be said, but not of the newest."""
        now = time.time()
        newest = [name for name in self.order if name in self.until_s][-CAPACITY // 2 :]
        return {name for name in newest if self.until_s[name] > now + 1.0}


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    chance, books, said = random.Random(SEED), Books(), 0
    for at in range(KILLS):
        said += books.note(await killed(tmp_path, str(at), chance.uniform(0.0, 0.3)))
        keeper = keeper_of(tmp_path, None, round_s=None)
        await keeper.start()
        try:
            found = {entry.id: entry async for entry in keeper.scan(EVERYTHING)}
            assert not keeper.store.damaged  # type: ignore[attr-defined]  # every entry is whole and signed
            assert len(found) <= CAPACITY, "after the sweep of the start"
            lost = books.must() - found.keys()
            assert not lost, f"kill {at}: {sorted(lost)} were acknowledged"
            for name, entry in found.items():
                assert entry.answer.body["choices"][0]["message"]["content"] == f"answer to {name}"
                served = await keeper.get(key_of(make_entry(id=name, question=name)))
                assert (served is not None) == (entry.expires_s > time.time())
            books.until_s = {name: until_s for name, until_s in books.until_s.items() if name in found}
        finally:
            await keeper.stop()
    assert said > KILLS, "it was killed while it wrote"
