"""``forebay batch``, killed at random points and run again: every line once, and equal to a run that nobody killed."""

from __future__ import annotations

import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.errors import ForebayError
from tests.adapters.batch.rig import Place, line, read, serving, texts, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.adapters.batch.rig import Served

pytestmark = pytest.mark.slow
LINES = 240


def batch_file(place: Place) -> None:
    """30% repeat an earlier line."""
    rng = random.Random(5)
    asked = [f"question {at}" for at in range(LINES * 7 // 10)]
    asked += rng.choices(asked, k=LINES - len(asked))
    rng.shuffle(asked)
    write(place.source, [line(f"id{at}", text) for at, text in enumerate(asked)])


def done(place: Place) -> int:
    return place.journal.read_bytes().count(b"\n") - 1 if place.journal.exists() else 0


def kill_at(place: Place, served: Served, lines: int, number: signal.Signals) -> str:
    """Run until so many lines are done; return what it said."""
    with place.process("--url", served.url, "--max-parallel", "4") as process:
        while done(place) < lines and process.poll() is None:
            pass
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode != 0, said
    return said


def test_three_kills_lose_and_double_no_line_and_change_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path, seconds=0.01) as served:
        for name in ("whole", "killed"):
            (tmp_path / name).mkdir()
        whole, killed = Place(tmp_path / "whole"), Place(tmp_path / "killed")
        batch_file(whole)
        batch_file(killed)
        assert whole.run("--url", served.url, "--max-parallel", "4") == 0
        once = len(served.asked)
        assert once == LINES * 7 // 10
        reached: list[int] = []
        for at in sorted(random.Random(7).sample(range(5, LINES - 40), 3)):
            kill_at(killed, served, max([at, *(count + 1 for count in reached[-1:])]), signal.SIGKILL)
            reached.append(done(killed))
        with killed.journal.open("ab") as file:
            file.write(b'{"index": 3, "ok": tr')  # as a kill in the middle of a write leaves it
        assert killed.run("--url", served.url, "--max-parallel", "4") == 0
    assert "were done before" in killed.said
    assert killed.out.read_bytes() == whole.out.read_bytes()
    assert Counter(each["custom_id"] for each in read(killed.out)) == Counter(f"id{at}" for at in range(LINES))
    # asked again at most: the four in flight at each kill; repeats of lines done before it find their answers
    assert len(served.asked) - 2 * once <= 3 * 4


def test_a_line_that_is_done_is_not_asked_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(tmp_path, seconds=0.01) as served:
        write(place.source, [line(f"id{at}", f"question {at}") for at in range(60)])
        kill_at(place, served, 20, signal.SIGKILL)
        before = {str(each["line"]["custom_id"]) for each in read(place.journal)[1:]}
        asked = len(served.asked)
        assert place.run("--url", served.url, "--max-parallel", "4") == 0
        later = {f"id{str(each['messages'][-1]['content']).split()[1]}" for each in served.asked[asked:]}
    assert len(before) >= 20
    assert not before & later
    assert before | later == {f"id{at}" for at in range(60)}


def test_repeats_of_lines_that_are_done_are_not_asked_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(tmp_path, seconds=0.01) as served:
        write(place.source, [line(f"id{at}", f"question {at % 60}") for at in range(180)])
        kill_at(place, served, 20, signal.SIGKILL)
        kept = [each["line"] for each in read(place.journal)[1:]]
        asked = len(served.asked)
        assert place.run("--url", served.url, "--max-parallel", "4") == 0
        later = [str(each["messages"][-1]["content"]) for each in served.asked[asked:]]
    before = {f"question {int(str(each['custom_id'])[2:]) % 60}" for each in kept}
    assert len(before) >= 20
    assert not before & set(later)
    assert sorted(later) == sorted({f"question {at}" for at in range(60)} - before)
    assert texts(place.out) == [f"to question {at % 60}" for at in range(180)]
    assert f"{len(before)} answers of these in the cache again" in place.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_is_asked_for_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    place = Place(tmp_path)
    with serving(tmp_path, seconds=0.01) as served:
        batch_file(place)
        said = kill_at(place, served, 20, number)
        assert f"stopped by {number.name}" in said
        assert f"forebay batch {place.source} {place.out}" in said
        assert "Traceback" not in said
        assert not place.out.exists()
        assert place.run("--url", served.url) == 0
    assert len(read(place.out)) == LINES


def test_another_input_or_another_model_does_not_go_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(tmp_path, seconds=0.01) as served:
        batch_file(place)
        kill_at(place, served, 20, signal.SIGKILL)
        with pytest.raises(ForebayError, match="another --model"):
            place.run("--url", served.url, "--model", "other")
        write(place.source, [line("id0", "something else")])
        with pytest.raises(ForebayError, match="the input file has changed"):
            place.run("--url", served.url)


def test_two_runs_of_one_output_do_not_meet(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with serving(tmp_path, seconds=0.05) as served:
        batch_file(place)
        with place.process("--url", served.url, "--max-parallel", "2") as process:
            while done(place) < 1 and process.poll() is None:
                pass
            with pytest.raises(ForebayError, match="is in use"):
                place.run("--url", served.url)
            process.kill()
