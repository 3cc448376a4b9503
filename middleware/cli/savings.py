"""``forebay savings``: what the cache saved, and for whom."""

from __future__ import annotations

from enum import StrEnum
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from ..savings import day_of
from ..state import StateStore
from .session import console, plural, say_json, session_of, table
from .store import state_dir_of

if TYPE_CHECKING:
    from ..config import Config

DAY_S: Final = 86_400.0


class By(StrEnum):
    """What savings are added up by."""

    KEY = "key"
    TEAM = "team"
    MODEL = "model"
    DAY = "day"


def savings(
    context: typer.Context,
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.KEY,
    days: Annotated[int, typer.Option(min=1, help="How many days back, today included (UTC).")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the requests, hits, tokens and money saved."""
    rows = saved(session_of(context).config, by, days)
    if as_json:
        say_json(rows)
        return
    out = console()
    if not rows:
        out.print(f"no requests in the last {plural(days, 'day')}")
        return
    shown = table(by.value)
    for title in ("requests", "hits", "hit ratio", "tokens saved", "US$ saved"):
        shown.add_column(title, justify="right")
    total = {name: sum(row[name] for row in rows) for name in ("requests", "hits", "tokens_saved", "usd_saved")}
    for row in rows:
        shown.add_row(str(row[by.value]) or Text("(none)", style="dim"), *_cells(row))
    if len(rows) > 1:
        shown.add_row(Text("all", style="bold"), *(Text(cell, style="bold") for cell in _cells(total)))
    out.print(shown)


def saved(config: Config, by: By, days: int) -> list[dict[str, Any]]:
    """Return one row a key, team, model or day, most saved first; [] where nothing was counted."""
    path = state_dir_of(config) / "state.db"
    if not path.is_file():
        return []
    state = StateStore(path)
    try:
        rows = state.saved(by.value, day_of(time() - (days - 1) * DAY_S))
    finally:
        state.close()
    return [dict(zip((by.value, "requests", "hits", "tokens_saved", "usd_saved"), row, strict=True)) for row in rows]


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = row["hits"] / row["requests"] if row["requests"] else 0.0
    money = f"{row['usd_saved']:.2f}" if row["usd_saved"] >= 1 or not row["usd_saved"] else f"{row['usd_saved']:.4f}"
    return [f"{row['requests']:,}", f"{row['hits']:,}", f"{ratio:.1%}", f"{row['tokens_saved']:,}", money]
