from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.adapters.batch.expected import Expected
from forebay.adapters.batch.journal import Done
from forebay.adapters.batch.reading import SAMPLED, SHOWN_PROBLEMS, Reading, check, lines
from forebay.adapters.batch.screen import pace
from forebay.adapters.batch.totals import Totals
from forebay.middleware.errors import ForebayError
from tests.adapters.batch.rig import line, write

if TYPE_CHECKING:
    from pathlib import Path


def reading(path: Path) -> Reading:
    return Reading(path, None, "t", frozenset({"chat"}))


def steps(_: int) -> None: ...


def test_the_whole_file_is_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "in", [line(f"id{at}", f"q{at % 3}", model=f"m{at % 2}") for at in range(12)])
    found = check(reading(path), steps)
    assert (found.lines, found.good, found.bad, found.repeats) == (12, 12, 0, 6)
    assert found.models == {"m0": 6, "m1": 6}
    assert len(found.sample) == 12


def test_both_readings_number_lines_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "in", ["", line("a", "q"), "junk", "  ", line("a", "q"), line("b", "q")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    checked = check(reading(path), steps)
    found = list(lines(reading(path), checked))
    assert [(each.index, each.number, each.asked is not None) for each in found] == [
        (0, 2, True),
        (1, 3, False),
        (2, 5, False),
        (3, 6, True),
    ]
    assert [each.problem for each in checked.problems] == [each.problem for each in found if each.asked is None]
    assert len({each.asked.request.id for each in found if each.asked is not None}) == 2


def test_samples_and_problems_are_bounded(tmp_path: Path) -> None:
    bad = ["junk"] * (SHOWN_PROBLEMS + 3)
    path = write(tmp_path / "in", [*bad, *(line(f"id{at}", "q") for at in range(SAMPLED + 5))])
    found = check(reading(path), steps)
    assert (len(found.problems), found.bad) == (SHOWN_PROBLEMS, SHOWN_PROBLEMS + 3)
    assert (len(found.sample), found.good) == (SAMPLED, SAMPLED + 5)


def test_a_file_that_changes_under_the_run_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "in", [line("a", "q")])
    checked = check(reading(path), steps)
    write(path, [line("a", "other")])
    with pytest.raises(ForebayError, match="changed while it was read"):
        list(lines(reading(path), checked))


def test_totals_count_what_the_journal_holds() -> None:
    totals = Totals(4)
    totals.add(Done(0, {}, ok=True, status="miss", number=1))
    totals.add(Done(1, {}, ok=True, status="exact", reason="refusal", tokens_saved=9, number=2))
    totals.add(Done(2, {}, ok=False, reason="not_json", number=3))
    assert (totals.done, totals.answered, totals.computed, totals.hits, totals.failed) == (3, 2, 1, 1, 1)
    assert (totals.tokens_saved, totals.first) == (9, {"refusal": 2, "not_json": 3})
    assert pace(totals, 3.0) == "1.0/s · 1 s left · 1 from the cache, 9 tokens saved · 1 failed"


def test_what_is_expected_adds_up() -> None:
    assert Expected(10, kept=1, same=2, similar=3).saved == 6
