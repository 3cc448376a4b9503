"""Locked files say who lives and who holds what, whatever happens to a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.local.coordination import LocalCoordination
from forebay.adapters.local.files import SUFFIX, ClaimFiles, WorkerFiles
from forebay.adapters.local.notes import Notes
from forebay.adapters.local.selectors import selector_from, selector_text
from forebay.middleware.errors import CoordinationError
from forebay.middleware.records import Selector
from tests.contract.coordination import Ears, reached, working
from tests.middleware.processes import together

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import asyncio, sys
from pathlib import Path
from forebay.adapters.local.coordination import LocalCoordination

async def main():
    one = LocalCoordination(Path(sys.argv[1]))
    await one.start()
    print((await one.claim("house", "m", 1, 0.0)).granted, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_who_is_killed_is_no_longer_counted_and_holds_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert other.stdout is not None
    assert other.stdout.readline() == b"True\n"
    async with working(partial(LocalCoordination, tmp_path), Ears()) as (one,):
        await reached(lambda: [worker.pid for worker in one.roster().workers].count(other.pid) == 1)
        assert not (await one.claim("house", "m", 1, 0.0)).granted
        other.send_signal(signal.SIGKILL)
        other.wait(10)
        other.stdout.close()
        await reached(lambda: len(one.roster().workers) == 1)
        assert (await one.claim("house", "m", 1, 0.0)).granted
        assert len(list((tmp_path / "workers").glob(f"*{SUFFIX}"))) == 1  # what it left over is gone


def test_of_many_processes_that_begin_together_one_keeps_house_and_all_see_all(tmp_path: Path) -> None:
    program = """
async def main():
    one = LocalCoordination(Path(sys.argv[1]))
    await one.start()
    granted = (await one.claim("house", "m", 1, 0.0)).granted
    async with asyncio.timeout(30):
        while len(one.roster().workers) < 6:
            await asyncio.sleep(0.01)
    rank = one.roster().rank
    await asyncio.sleep(1.5)  # so that the others see all, too
    print(granted, rank)
    await one.stop()

asyncio.run(main())
"""
    imports = (
        "import asyncio\nfrom pathlib import Path\nfrom forebay.adapters.local.coordination import LocalCoordination"
    )
    ended = together(imports, program, [[str(tmp_path)]] * 6)
    assert [status for status, _, _ in ended] == [0] * 6, ended
    said = [out.split()[-2:] for _, out, _ in ended]
    assert sorted(granted for granted, _ in said) == ["False"] * 5 + ["True"]
    assert sorted(rank for _, rank in said) == ["0", "1", "2", "3", "4", "5"]


def test_a_worker_is_never_seen_before_its_lock(tmp_path: Path) -> None:
    """Else another would take it for a dead one's and remove it."""
    one, other = WorkerFiles(tmp_path, "one"), WorkerFiles(tmp_path, "other")
    (tmp_path / ".half").write_text("")
    one.join()
    assert [worker.name for worker in other.live()] == ["one"]
    one.say("somewhere, " * 100)
    one.say("here")
    assert [worker.about for worker in other.live()] == ["here"]
    one.leave()
    one.leave()
    assert other.live() == ()


def test_a_claim_is_held_by_one_even_within_a_process(tmp_path: Path) -> None:
    one, other = ClaimFiles(tmp_path), ClaimFiles(tmp_path)
    assert one.claim("house", "m")
    assert not other.claim("house", "m")
    assert not one.claim("house", "n")
    one.close()
    assert other.claim("house", "m")
    other.close()


def test_a_look_for_notes_costs_next_to_nothing(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.db")
    times: list[float] = []
    for _ in range(2000):
        began = time.perf_counter()
        assert not notes.changed()
        times.append(time.perf_counter() - began)
    assert sorted(times)[1000] < 0.001  # measured: 4 microseconds
    notes.write("me", Selector())
    assert notes.changed()
    assert not notes.changed()
    notes.close()


@given(
    st.builds(
        Selector,
        id=st.none() | st.text(),
        scope=st.none() | st.text(),
        tenant=st.none() | st.text(),
        model=st.none() | st.text(),
        expired_at_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        tag=st.none() | st.text(),
        system=st.none() | st.text(),
        version=st.none() | st.text(),
        created_before_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        epoch=st.none() | st.integers(0, 1 << 104),
    )
)
def test_a_selector_comes_back_as_it_was(selector: Selector) -> None:
    assert selector_from(selector_text(selector)) == selector


@pytest.mark.parametrize("text", ["", "[]", "{", '{"colour": "red"}', '{"epoch": "1"}', '{"id": 1}', '{"tag": true}'])
def test_a_selector_that_is_not_understood_is_never_taken_for_everything(text: str) -> None:
    with pytest.raises(CoordinationError):
        selector_from(text)


async def test_places_are_not_shared_through_a_folder(tmp_path: Path) -> None:
    async with working(partial(LocalCoordination, tmp_path), Ears()) as (one,):
        with pytest.raises(CoordinationError, match="redis"):
            await one.claim("lane", "m", 4, 0.0)


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "workers").write_text("a file")
    one = LocalCoordination(tmp_path)
    with pytest.raises(CoordinationError, match="state_dir"):
        await one.start()
    assert [finding.ok for finding in await one.check_ready()] == [False]
    assert one.roster().part_of(4) == 4
    with pytest.raises(CoordinationError):
        await one.tell(Selector(), 0.0)
    await one.stop()
