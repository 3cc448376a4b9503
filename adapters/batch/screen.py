"""What ``forebay batch`` says: results on standard output, how far it is on standard error."""

from __future__ import annotations

import math
import shlex
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from ...middleware.cli.session import PLAIN_WIDTH, plural, table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from rich.progress import Task

    from .expected import Expected
    from .reading import Checked
    from .totals import Totals

PLAIN_EVERY_S: Final = 10.0
"""Between two lines about how far it is, where standard error is no terminal."""
WHY: Final = {
    "empty": "the answer is empty",
    "finish_reason_content_filter": "the engine's filter ended the answer",
    "finish_reason_length": "the answer was cut at its longest: not kept, not shared",
    "finish_reason_null": "the engine did not say how the answer ended",
    "finish_reason_other": "the engine ended the answer in a way of its own",
    "invalid_line": "the line cannot be asked",
    "invalid_tool_arguments": "a tool is called with arguments that are not JSON",
    "no_answer": "the engine could not be reached, or did not answer in time",
    "not_json": "not the JSON that was asked for",
    "other_language": "in another language than was asked for",
    "refusal": "the model declined",
    "schema_mismatch": "not of the schema that was asked for",
}


class Screen:
    """Says what happens.

    Args:
        out: for results.
        err: for how far it is.
    """

    def __init__(
        self, out: Console | None = None, err: Console | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._out = out or Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False)
        self._err = err or Console(
            stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH, highlight=False, markup=False
        )
        self._clock = clock

    def note(self, text: str) -> None:
        """Say something beside the results."""
        self._err.print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)

    def checked(self, path: Path, found: Checked) -> None:
        """Say what a file holds, and what is wrong with it."""
        models = ", ".join(f"{name} ({count:,})" if len(found.models) > 1 else name for name, count in _most(found))
        about = f": {', '.join(_endpoints(found))} to {models}" if found.good else ""
        self._out.print(f"file         {path.name}, {plural(found.lines, 'line')}{about}", soft_wrap=True)
        if not found.bad:
            return
        self._out.print(f"unreadable   {plural(found.bad, 'line')}, which will be in the error file:", style="yellow")
        for line in found.problems:
            self._out.print(f"             line {line.number:,} {line.problem}", soft_wrap=True)
        if found.bad > len(found.problems):
            self._out.print(f"             and {found.bad - len(found.problems):,} more")

    def expected(self, found: Checked, expected: Expected, *, proven_only: bool) -> None:
        """Say what is expected to be saved."""
        share = expected.saved / found.good if found.good else 0.0
        basis = "" if expected.sampled == found.good else f" (reckoned from the first {expected.sampled:,})"
        self._out.print(
            f"expected     {round(expected.saved):,} of {found.good:,} lines ({share:.0%}) need no computing, "
            f"about {_round(expected.tokens)} of {_round(expected.tokens + expected.computed_tokens)} tokens{basis}"
        )
        parts = [
            f"{round(count):,} {what}"
            for count, what in (
                (expected.kept, "kept already"),
                (expected.same, "equal to an earlier line"),
                (expected.similar, "asked before in other words"),
            )
            if round(count)
        ]
        if parts:
            self._out.print(f"             {', '.join(parts)}")
        if proven_only:
            self._out.print(
                "             other wordings are answered from the cache where audits have proven that; "
                "--accept similar does not wait for proof"
            )

    def resumed(self, totals: Totals) -> None:
        """Say from where it goes on."""
        self._out.print(f"going on     {totals.before:,} of {totals.lines:,} lines were done before")

    @contextmanager
    def refilling(self) -> Generator[None]:
        """Show that earlier answers are kept again."""
        with self._waiting("keeping earlier answers again"):
            yield

    def refilled(self, kept: int) -> None:
        """Say how many were."""
        self._out.print(f"             {plural(kept, 'answer')} of these in the cache again")

    def report(self, totals: Totals, seconds: float, out: Path, errors: Path) -> None:
        """Say what became of the batch."""
        run = totals.done - totals.before
        rate = f", {run / seconds:,.1f} lines/s" if seconds > 0 else ""
        before = f" ({totals.before:,} done before)" if totals.before else ""
        self._out.print(f"done         {plural(totals.lines, 'line')} in {_time(seconds)}{rate}{before}")
        share = totals.hits / totals.answered if totals.answered else 0.0
        tiers = [
            f"{totals.statuses[name]:,} {what}"
            for name, what in (("exact", "equal"), ("inflight", "shared in flight"), ("semantic", "in other words"))
            if totals.statuses[name]
        ]
        detail = f": {', '.join(tiers)}" if tiers else ""
        self._out.print(f"answered     {totals.answered:,} → {out}")
        self._out.print(f"  computed   {totals.computed:,}")
        self._out.print(f"  cache      {totals.hits:,} ({share:.0%}){detail}; {totals.tokens_saved:,} tokens saved")
        if totals.retries:
            self._out.print(f"retries      {totals.retries:,}")
        if totals.failed:
            self._out.print(f"failed       {totals.failed:,} → {errors}", style="red")
        reasons = [("failed", *each) for each in totals.failures.most_common()]
        reasons += [("taken, but", *each) for each in totals.warnings.most_common()]
        if reasons:
            rows = table("", "lines", "why", "first line")
            for what, label, count in reasons:
                rows.add_row(what, f"{count:,}", WHY.get(label, label.replace("_", " ")), f"{totals.first[label]:,}")
            self._out.print()
            self._out.print(rows)

    def stopped(self, why: str, totals: Totals, command: Sequence[str]) -> None:
        """Say that it ended early, and how to go on."""
        done = f"{totals.done:,} of {totals.lines:,} lines are done and kept"
        self._err.print(f"{why}; {done}. To go on:", style="yellow", soft_wrap=True)
        self._err.print(f"  {shlex.join(command)}", soft_wrap=True)

    @contextmanager
    def reading(self, size: int) -> Generator[Callable[[int], None]]:
        """Show how far the reading of a file is; yield what to call with each number of bytes read."""
        bar = Progress(
            TextColumn("checking"), BarColumn(), console=self._err, transient=True, disable=not self._err.is_terminal
        )
        with bar:
            task = bar.add_task("checking", total=size)
            yield lambda read: bar.advance(task, read)

    @contextmanager
    def reckoning(self) -> Generator[None]:
        """Show that what is saved is being reckoned."""
        with self._waiting("reckoning what it saves"):
            yield

    @contextmanager
    def running(self, totals: Totals) -> Generator[Callable[[], None]]:
        """Show how far a batch is; yield what to call when a line is done."""
        began = self._clock()
        if not self._err.is_terminal:
            yield self._plainly(totals, began)
            return
        columns = (
            TaskProgressColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            _Told(lambda: pace(totals, self._clock() - began)),
        )
        bar = Progress(*columns, console=self._err, transient=True, refresh_per_second=4)
        with bar:
            task = bar.add_task("running", total=totals.lines, completed=totals.done)
            yield lambda: bar.update(task, completed=totals.done)

    @contextmanager
    def _waiting(self, what: str) -> Generator[None]:
        if self._err.is_terminal:
            with self._err.status(what):
                yield
        else:
            yield

    def _plainly(self, totals: Totals, began: float) -> Callable[[], None]:
        last = began

        def step() -> None:
            nonlocal last
            now = self._clock()
            if now - last >= PLAIN_EVERY_S:
                last = now
                share = totals.done / totals.lines
                self._err.print(f"{totals.done:,}/{totals.lines:,} ({share:.0%})  {pace(totals, now - began)}")

        return step


class _Told(ProgressColumn):
    """A column that says what a function returns."""

    def __init__(self, tell: Callable[[], str]) -> None:
        super().__init__()
        self._tell = tell

    def render(self, task: Task) -> Text:  # noqa: ARG002
        """Return the text."""
        return Text(self._tell())


def pace(totals: Totals, seconds: float) -> str:
    """Return rate, time left, hits, tokens saved and failures, as one line."""
    run = totals.done - totals.before
    rate = run / seconds if seconds > 0 else 0.0
    left = _time(math.ceil((totals.lines - totals.done) / rate)) if rate else "–"  # noqa: RUF001  (nothing is known yet)
    told = f"{rate:,.1f}/s · {left} left · {totals.hits:,} from the cache, {totals.tokens_saved:,} tokens saved"
    return f"{told} · {totals.failed:,} failed" if totals.failed else told


def _time(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if isinstance(seconds, float) and seconds < 10 else f"{rest} s"  # noqa: PLR2004


def _round(tokens: float) -> str:
    return f"{round(tokens, -3):,.0f}" if tokens >= 10_000 else f"{round(tokens, -2):,.0f}"  # noqa: PLR2004


def _most(found: Checked) -> list[tuple[str, Any]]:
    return sorted(found.models.items(), key=lambda item: -item[1])[:3]


def _endpoints(found: Checked) -> list[str]:
    return sorted(found.urls)
