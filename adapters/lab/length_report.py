"""What came of measuring predictors of the length: a table and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from .figure import COLOURS, new_figure, plain, save
from .length_measure import MEAN, PREQUENTIAL, kendall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from .length_measure import Measured, Point

_SHOWN: Final = {
    "n": "n",
    "kendall_tau": "tau",
    "coverage_q90": "q90",
    "mae_log": "error",
    "us_per_request": "us",
    "us_per_outcome": "us learn",
}
_LEGEND: Final = (
    "tau: Kendall's, of the predicted median with the true length. q90: share of answers not longer than the 90% quantile. error: mean "
    "of |ln predicted - ln true|. us: median CPU time of a prediction, and of learning an answer."
)
_WINDOW: Final = 150
_POINTS: Final = 40


def show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of one file: of each mode every predictor, and of the first one every answering model."""
    title = f"length of answers: {escape(str(rows[0]['file']))}"
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None, padding=(0, 1))
    table.add_column("predictor", no_wrap=True, max_width=34)
    for head in _SHOWN.values():
        table.add_column(head, justify="right", no_wrap=True)
    several = any(row["answering_model"] == MEAN for row in rows)
    first = rows[0]["predictor"]
    before = None
    for row in rows:
        whole = not several or row["answering_model"] == MEAN
        if row["mode"] != before:
            before = row["mode"]
            table.add_row()
            table.add_row(f"[bold]{before}[/]")
        if whole or row["predictor"] == first:
            name = row["predictor"] if whole else f"  {row['answering_model']}"
            table.add_row(f"  {escape(str(name))}", *(_cell(row[field]) for field in _SHOWN))
    console.print(table)
    console.print(_LEGEND, style="dim")


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value}" if isinstance(value, int) else f"{value:.3f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004


def draw(path: Path, title: str, measured: Sequence[Measured]) -> None:
    """Draw predicted against true lengths of the first predictor, and tau over the last prompts as each learns.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure()
    left, right = figure.subplots(1, 2)
    first = measured[0]
    true, said = [point.tokens for point in first.points], [max(1.0, point.median) for point in first.points]
    left.scatter(true, said, s=6, alpha=0.35, color=COLOURS[0], linewidths=0)
    ends = [min(true), max(true)]
    left.plot(ends, ends, color="#aaaaaa", linewidth=1, linestyle="--")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("tokens of the answer")
    left.set_ylabel("predicted median")
    left.set_title(f"{first.predictor}, {first.mode}", fontsize=10)
    streams = [one for one in measured if one.mode == PREQUENTIAL] or list(measured)
    for one, colour in zip(streams, COLOURS, strict=False):
        taus = _taus(one.points)
        right.plot([at for at, _ in taus], [tau for _, tau in taus], color=colour, label=one.predictor, linewidth=1.8)
    right.axhline(0, color="#aaaaaa", linewidth=1)
    right.set_xlabel("answers seen since it counts")
    right.set_ylabel(f"tau over the last {_WINDOW}")
    right.set_title("order, as it learns", fontsize=10)
    right.legend(loc="best", fontsize=8, frameon=False)
    plain((left, right))
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _taus(points: Sequence[Point]) -> list[tuple[int, float]]:
    """Return tau over the last points at about so many places."""
    window = min(_WINDOW, len(points))
    found: list[tuple[int, float]] = []
    for end in range(window, len(points) + 1, max(1, len(points) // _POINTS)):
        part = points[end - window : end]
        tau = kendall([point.median for point in part], [point.tokens for point in part])
        if tau is not None:
            found.append((end, tau))
    return found
