"""``forebay lab forecast``: replay traces and say how well the load of the next window is predicted."""

from __future__ import annotations

import argparse
import math
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console

from ...middleware.errors import ConfigError
from .forecast_report import NAIVE, Replay, draw, rows_of, show
from .report import as_json, write_json
from .traces import UNITS, TraceError, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .traces import Trace

COMMAND: Final = "lab forecast"
WITHOUT: Final = "without "
_WINDOWS: Final = "1,10,60"
_FEWEST, _MOST = 3, 500_000
_DRAWN: Final = 12


class Series(Protocol):
    """Forecasts one series of windows."""

    def expect(self) -> tuple[float, float, float]:
        """Return the forecast of the next window's count, and the ends of what holds 80%."""
        ...

    def members(self) -> Mapping[str, float]:
        """Return what each member says of the next window, ``naive`` among them."""
        ...

    def close(self, count: float, offsets_s: Sequence[float] | None = None) -> None:
        """Learn what the window held, and when in it each request came where that is known."""
        ...


class MakeSeries(Protocol):
    """Makes a series for windows of a length, without some members."""

    def __call__(self, window_s: float, without: Sequence[str] = ()) -> Series:
        """Return a new one."""
        ...


@dataclass(frozen=True, slots=True)
class ForecastTools:
    """What the lab of load prediction uses.

    Attributes:
        bank: makes the shipped bank of forecasters.
        members: names of those that can be left out.
    """

    bank: MakeSeries
    members: Sequence[str]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay lab forecast``."""
    made = argparse.ArgumentParser(
        prog="forebay lab forecast",
        description="Replay traces of requests and measure how well the load of the next window is predicted.",
        epilog="A trace is CSV or JSON lines with the time of each request (timestamp, created, ts_s, startTime, …: ISO dates or "
        "numbers), or a CSV table of client, ts_s, rate_rps; either may be gzipped.",
    )
    made.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    made.add_argument("--windows", default=_WINDOWS, metavar="S,S", help=f"lengths in seconds ({_WINDOWS})")
    made.add_argument("--unit", choices=sorted(UNITS), default="", help="of times that are numbers")
    made.add_argument("--clients", type=int, default=8, metavar="N", help="of a table of rates, the N busiest (8)")
    made.add_argument("--ablation", action="store_true", help="also measure the bank without each of its members")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write the report as JSON")
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw the last windows of each series (PNG)")
    return made


def run(tools: ForecastTools, args: Sequence[str], console: Console | None = None) -> int:
    """Run the command and return its exit status.

    Raises:
        ForebayError: a trace cannot be read, or is too short.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    out = console or Console()
    windows = _windows(options.windows)
    if options.clients < 0:
        raise ConfigError("--clients must be at least 0")
    replays: list[Replay] = []
    for path in options.traces:
        trace = read_trace(path, options.unit)
        made = list(_replays(tools, trace, windows, options))
        if not made:
            raise TraceError(f"{path} is too short: it does not fill {_FEWEST} windows; try shorter --windows")
        replays += made
    rows = [row for replay in replays for row in rows_of(replay)]
    show(out, rows)
    if options.plot is not None:
        draw(options.plot, replays[:_DRAWN])
        out.print(f"drawn: {options.plot}", soft_wrap=True, markup=False)
    if options.json_file is not None:
        write_json(options.json_file, as_json(COMMAND, rows))
    return 0


def _windows(words: str) -> list[float]:
    try:
        windows = sorted({float(word) for word in words.split(",")})
    except ValueError:
        windows = []
    if not windows or not all(0 < window_s < math.inf for window_s in windows):
        raise ConfigError("--windows must be lengths in seconds with commas between them, such as 1,10,60")
    return windows


def _replays(tools: ForecastTools, trace: Trace, windows: Sequence[float], options: Any) -> Iterator[Replay]:
    """Return a replay for each series and window of the trace that is long enough."""
    if trace.rates is not None:
        clients = list(trace.rates.values())
        series: dict[str, Sequence[float]] = {"all": [math.fsum(window) for window in zip(*clients, strict=True)]}
        series.update(list(trace.rates.items())[: options.clients])
        for name, counts in series.items():
            if len(counts) >= _FEWEST:
                known = [(count, None) for count in counts]
                yield _replay(tools, Replay(trace.name, name, trace.window_s), known, ablation=options.ablation)
        return
    for window_s in windows:
        count = int(trace.times_s[-1] // window_s)  # whole windows
        if count > _MOST:
            raise TraceError(f"{trace.name} holds {count} windows of {window_s:g} s; try longer --windows")
        if count >= _FEWEST:
            told = list(_cut(trace.times_s, window_s, count))
            yield _replay(tools, Replay(trace.name, "all", window_s), told, ablation=options.ablation)


def _cut(times_s: Sequence[float], window_s: float, count: int) -> Iterator[tuple[float, list[float]]]:
    """Return what came in each window: how many, and when in it."""
    end = 0
    for number in range(count):
        begin, end = end, bisect_left(times_s, (number + 1) * window_s, lo=end)
        yield float(end - begin), [time_s - number * window_s for time_s in times_s[begin:end]]


def _replay(
    tools: ForecastTools, replay: Replay, told: Sequence[tuple[float, list[float] | None]], *, ablation: bool
) -> Replay:
    bank = tools.bank(replay.window_s)
    poorer = {
        WITHOUT + name: tools.bank(replay.window_s, [name]) for name in tools.members if ablation and name != NAIVE
    }
    for number, (count, offsets_s) in enumerate(told):
        if number:  # before the first there is nothing to go by
            replay.counts.append(count)
            replay.ranges.append(bank.expect())
            said = {**bank.members(), **{name: series.expect()[0] for name, series in poorer.items()}}
            for name, value in said.items():
                replay.methods.setdefault(name, []).append(value)
        for series in (bank, *poorer.values()):
            series.close(count, offsets_s)
    return replay
