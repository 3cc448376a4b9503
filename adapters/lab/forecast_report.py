"""A replay of load prediction: figures, a table, a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from .figure import INCHES, new_figure, plain, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

BANK: Final = "bank"
NAIVE: Final = "naive"
_SHOWN: Final = 240
_LEGEND: Final = (
    "Each window forecast at the end of the one before it, from the second on. rmse: requests in the window. bank and each "
    "member: rmse over naive's (as many as in the last window). in 80%: share that came within the interval."
)


@dataclass
class Replay:
    """One series of windows of one length, and what was said of each but the first.

    Attributes:
        counts: what came.
        ranges: forecast, lower and upper end.
        methods: what else was said of them, by name; ``naive`` is one of them.
    """

    trace: str
    series: str
    window_s: float
    counts: list[float] = field(default_factory=list[float])
    ranges: list[tuple[float, float, float]] = field(default_factory=list[tuple[float, float, float]])
    methods: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


def rmse(said: Sequence[float], came: Sequence[float]) -> float:
    """Return the root of the mean squared error; 0 for nothing."""
    squares = [(one - other) ** 2 for one, other in zip(said, came, strict=True)]
    return math.sqrt(math.fsum(squares) / max(1, len(squares)))


def rows_of(replay: Replay) -> list[dict[str, Any]]:
    """Return the report's rows: the bank, then each method."""
    naive = rmse(replay.methods[NAIVE], replay.counts)
    said = {BANK: [middle for middle, _, _ in replay.ranges], **replay.methods}
    inside = sum(low <= came <= high for (_, low, high), came in zip(replay.ranges, replay.counts, strict=True))
    rows: list[dict[str, Any]] = []
    for method, values in said.items():
        error = rmse(values, replay.counts)
        rows.append(
            {
                "trace": replay.trace,
                "series": replay.series,
                "window_s": replay.window_s,
                "method": method,
                "n": len(replay.counts),
                "rmse": round(error, 4),
                "rmse_over_naive": round(error / naive, 4) if naive else None,
                "coverage_80": round(inside / len(replay.counts), 4) if method == BANK else None,
            }
        )
    return rows


def show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table a trace, with a line a series and window: the bank, then its members."""
    traces: dict[str, dict[tuple[str, float], dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        lines = traces.setdefault(row["trace"], {})
        lines.setdefault((row["series"], row["window_s"]), {})[row["method"]] = row
    for trace, lines in traces.items():
        methods = [method for method in next(iter(lines.values())) if method not in (BANK, NAIVE)]
        table = Table(title=escape(trace), title_justify="left", header_style="bold", pad_edge=False, box=None)
        table.add_column("window", no_wrap=True)
        for head in ("n", "rmse", BANK, "in 80%", *methods):
            table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
        for (series, window_s), found in lines.items():
            bank = found[BANK]
            name = f"{window_s:g} s" if series == "all" else f"{window_s:g} s, {series}"
            ratios = (_cell(found[method]["rmse_over_naive"]) for method in methods)
            error, ratio = f"{bank['rmse']:.4g}", _cell(bank["rmse_over_naive"])
            table.add_row(escape(name), str(bank["n"]), error, ratio, _cell(bank["coverage_80"]), *ratios)
        console.print(table)
        console.print()
    console.print(_LEGEND, style="dim")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def draw(path: Path, replays: Sequence[Replay]) -> None:
    """Draw the last windows of each replay: what came, what was said, and the interval.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    made = new_figure((INCHES[0], 2.4 * len(replays)))
    every: Any = made.subplots(len(replays), 1, squeeze=False)
    for replay, axes in zip(replays, every[:, 0], strict=True):
        first = max(0, len(replay.counts) - _SHOWN)
        at = [number * replay.window_s for number in range(first + 1, len(replay.counts) + 1)]
        ranges = replay.ranges[first:]
        lows, highs = [low for _, low, _ in ranges], [high for _, _, high in ranges]
        axes.fill_between(at, lows, highs, color="#1b6ca8", alpha=0.18, linewidth=0, label="80%")
        axes.plot(at, replay.counts[first:], color="#6b7a8f", linewidth=0.9, label="came")
        axes.plot(at, [middle for middle, _, _ in ranges], color="#1b6ca8", linewidth=1.5, label="forecast")
        axes.set_title(f"{replay.trace}, {replay.series}: windows of {replay.window_s:g} s", fontsize=9)
        axes.set_ylabel("requests")
        axes.set_ylim(bottom=0)
    plain(every[:, 0])
    every[0, 0].legend(loc="upper left", fontsize=8, frameon=False, ncols=3)
    every[-1, 0].set_xlabel("seconds since the first request")
    save(made, path)
