"""``forebay predictions``: how good predictions have been, measured before each outcome was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from .. import registry as kinds
from ..analysis.learning import name_of
from ..registry import Build
from ..state import StateStore
from ..telemetry import Telemetry
from .session import console, say_json, session_of, table
from .store import keyring_of, state_dir_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.protocols import Learned
    from .session import Session

_MOST: Final = 12
"""Rows shown of one part; ``--all`` shows the rest."""


def predictions(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show every row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how good predictions have been: of lengths, times, difficulty and load, each beside what happened."""
    found = reports(session_of(context))
    if as_json:
        say_json([{"part": place, **row} for place, rows in found.items() for row in rows])
        return
    out = console()
    if not any(found.values()):
        out.print("nothing was predicted yet: predictions are measured as requests end, and saved now and then")
        return
    for place, rows in found.items():
        if not rows:
            continue
        out.print(Text(place, style="bold"))
        columns = list(dict.fromkeys(name for row in rows for name in row))
        shown = table()
        for name in columns:
            numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
            shown.add_column(name.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
        for row in rows if everything else rows[:_MOST]:
            shown.add_row(*(_said(row.get(name)) for name in columns))
        out.print(shown)
        if len(rows) > _MOST and not everything:
            out.print(Text(f"{len(rows) - _MOST} more with --all", style="dim"))
        out.print()


def reports(session: Session) -> dict[str, Sequence[dict[str, Any]]]:
    """Return the report of each configured part on its last snapshot, [] where there is none or it cannot be read.

    Raises:
        ConfigError, PluginError: a part cannot be made.
    """
    config = session.config
    folder = state_dir_of(config)
    registry = session.plugins.registry
    build = Build(folder, keyring_of(config), Telemetry(enabled=False), serves=False)
    parts: dict[str, Learned] = {}
    for spec in config.predictors:
        place = f"predictors.{spec.type}"
        parts[place] = registry.build(kinds.PREDICTOR, spec.type, spec.settings, build, path=place)
    for spec in config.stream:
        place = f"stream.{spec.type}"
        parts[place] = registry.build(kinds.STREAM, spec.type, spec.settings, build, path=place)
    state = StateStore(folder / "state.db")
    try:
        return {place: _report(part, state, place) for place, part in parts.items()}
    finally:
        state.close()


def _report(part: Learned, state: StateStore, place: str) -> list[dict[str, Any]]:
    saved = state.load(name_of(place))
    if saved is None:
        return []
    try:
        part.restore(saved)
    except (ValueError, KeyError, TypeError):
        return []  # of another version: it is replaced as requests come
    return [dict(row) for row in part.report()]


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004
    return f"{value:,}" if isinstance(value, int) else str(value)
