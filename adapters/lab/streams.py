"""``forebay lab acceptance --stream``: labelled questions in order, as a cache would see them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from .stream import replay_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from .tools import Tools

_LEGEND = (
    "Each question is looked for among those before it, and kept where it misses. A hit is wrong where the categories differ; the "
    "categories stand in for the judge of audits. errors: wrong hits over requests. held: wrong hits over hits at most delta, at the end."
)


def stream_rows(tools: Tools, files: Sequence[Path], delta: float) -> list[dict[str, object]]:
    """Return the report's rows: each file through each policy.

    Raises:
        ConfigError: a file cannot be read.
        EmbedderError: the model failed.
    """
    return asyncio.run(replay_files(files, tools.embedder(), tools.streamed(delta)))


def show_streams(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows as a table of 80 columns, a part a file."""
    table = Table(title="labelled streams", title_justify="left", header_style="bold", pad_edge=False, box=None)
    table.add_column("policy", no_wrap=True, max_width=24)
    for head in ("hits", "wrong", "errors", "audits", "first hit", "held"):
        table.add_column(head, justify="right", no_wrap=True)
    before = None
    for row in rows:
        if row["file"] != before:
            before = row["file"]
            table.add_row()
            table.add_row(f"[bold]{escape(str(before))}[/]: {row['requests']:,} requests")
        hits, wrong = row["hits"], row["wrong_hits"]
        table.add_row(
            f"  {escape(row['policy'])}",
            f"{hits / row['requests']:.3f}",
            f"{wrong / hits:.4f}" if hits else "-",
            f"{wrong / row['requests']:.4f}",
            f"{row['audits']:,}",
            "-" if row["first_hit"] is None else f"{row['first_hit']:,}",
            {None: "-", True: "yes", False: "no"}[row["bound_held"]],
        )
    console.print(table)
    console.print(_LEGEND, style="dim")
