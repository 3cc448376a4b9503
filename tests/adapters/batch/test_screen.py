"""What is said: on a terminal a bar that moves, elsewhere a line now and then."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from forebay.adapters.batch.expected import Expected
from forebay.adapters.batch.journal import Done
from forebay.adapters.batch.reading import Checked, Line
from forebay.adapters.batch.screen import PLAIN_EVERY_S, Screen
from forebay.adapters.batch.totals import Totals
from tests.middleware.parts import FakeClock


class Said:
    """A screen whose words are kept."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.clock = FakeClock()
        self._out, self._err = io.StringIO(), io.StringIO()
        out = Console(file=self._out, width=160, highlight=False, markup=False)
        err = Console(file=self._err, width=160, highlight=False, markup=False, force_terminal=terminal)
        self.screen = Screen(out, err, self.clock)

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()


def computed(at: int) -> Done:
    return Done(at, {}, ok=True, status="miss", number=at + 1)


def test_without_a_terminal_it_says_a_line_now_and_then() -> None:
    said, totals = Said(), Totals(100)
    with said.screen.running(totals) as step:
        for at in range(40):
            totals.add(computed(at))
            said.clock.now_s += PLAIN_EVERY_S / 10
            step()
    lines = said.err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "10/100 (10%)  1.0/s · 1 min 30 s left · 0 from the cache, 0 tokens saved"
    assert "\x1b" not in said.err


def test_on_a_terminal_a_bar_moves_and_goes() -> None:
    said, totals = Said(terminal=True), Totals(2)
    with said.screen.running(totals) as step:
        totals.add(computed(0))
        said.clock.now_s += 1
        step()
    assert "1/2" in said.err
    assert "\x1b[2K" in said.err
    assert not said.out


def test_the_report_names_what_failed_and_what_was_taken_all_the_same() -> None:
    said, totals = Said(), Totals(3)
    totals.add(Done(0, {}, ok=True, status="exact", reason="finish_reason_length", tokens_saved=1200, number=4))
    totals.add(Done(1, {}, ok=False, reason="schema_mismatch", number=7))
    totals.add(Done(2, {}, ok=True, status="miss", number=9))
    said.screen.report(totals, 2.0, Path("out.jsonl"), Path("out.errors.jsonl"))
    assert "1 (50%): 1 equal; 1,200 tokens saved" in said.out
    assert "failed       1 → out.errors.jsonl" in said.out
    assert "not of the schema that was asked for" in said.out
    assert "the answer was cut at its longest" in said.out


def test_what_is_expected_is_said_with_its_basis() -> None:
    said = Said()
    found = Checked(lines=10, good=10)
    said.screen.expected(found, Expected(4, 1, 2, 3, 600, 400), proven_only=True)
    assert "6 of 10 lines (60%) need no computing" in said.out
    assert "reckoned from the first 4" in said.out
    assert "--accept similar" in said.out


def test_problems_are_named_and_the_rest_counted() -> None:
    said = Said()
    problem = Line(0, 3, problem="is not JSON")
    said.screen.checked(
        Path("in.jsonl"), Checked(lines=9, good=2, problems=[problem], models={"m": 2}, urls={"chat": 2})
    )
    assert "line 3 is not JSON" in said.out
    assert "and 6 more" in said.out


def test_a_stop_says_how_to_go_on() -> None:
    said = Said()
    said.screen.stopped("stopped by SIGINT", Totals(7, done=2), ["forebay", "batch", "my file", "out"])
    assert "2 of 7 lines" in said.err
    assert "forebay batch 'my file' out" in said.err
