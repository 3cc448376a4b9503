"""``forebay audits``: how often semantic hits would be wrong, as far as audits have shown it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from .. import registry as kinds
from ..audits import SNAPSHOT
from ..errors import ForebayError
from ..protocols import Audited
from ..registry import Build
from ..state import StateStore
from ..telemetry import Telemetry
from .session import console, say_json, session_of, table
from .store import keyring_of, state_dir_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import JsonObject
    from .session import Session


def audits(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the acceptance policy has learned: which kinds of semantic hits are proven, and the bound on wrong ones."""
    rows = [dict(row) for row in learned(session_of(context))]
    if as_json:
        say_json(rows)
        return
    out = console()
    if not rows:
        out.print("no audit yet: semantic hits are shadowed until enough of them were found right")
        return
    titles = list(dict.fromkeys(name for row in rows for name in row))
    shown = table()
    for title in titles:
        number = all(isinstance(row.get(title), int | float) for row in rows)
        shown.add_column(title.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row.get(title)) for title in titles))
    out.print(shown)


def learned(session: Session) -> Sequence[JsonObject]:
    """Return the acceptance policy's report on its last snapshot, [] where there is none.

    Raises:
        ForebayError: the configured policy keeps no account, or the snapshot is another policy's.
    """
    config = session.config
    folder = state_dir_of(config)
    spec = config.acceptance
    state = StateStore(folder / "state.db")
    try:
        saved = state.load(SNAPSHOT)
    finally:
        state.close()
    registry, telemetry, keyring = session.plugins.registry, Telemetry(enabled=False), keyring_of(config)
    build = Build(folder, keyring, telemetry, serves=False)
    named = config.embedder
    embedder = registry.build(kinds.EMBEDDER, named.type, named.settings, build, path="embedder")
    build = replace(build, embedder=embedder, dimension=embedder.dimension)
    policy = registry.build(kinds.ACCEPTANCE, spec.type, spec.settings, build, path="acceptance")
    if not isinstance(policy, Audited):
        raise ForebayError(f"the acceptance policy {spec.type!r} is not audited; 'verified' is")
    if saved is None:
        return []
    try:
        policy.restore(saved["policy"])
    except (ValueError, KeyError, TypeError):
        raise ForebayError(
            f"what was learned in {folder} is another policy's than {spec.type!r}, or made with other settings"
        ) from None
    return policy.report()


def _cell(value: Any) -> Text | str:
    if isinstance(value, bool):
        return Text("yes", style="green") if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
