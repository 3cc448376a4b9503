"""``forebay audits``: how often semantic hits would be wrong, as far as audits have shown it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

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

DIGEST: Final = 64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import JsonObject
    from .session import Session


def audits(
    context: typer.Context,
    bands: Annotated[
        bool, typer.Option("--all", help="Show every band of confidence, not the best of each kind.")
    ] = False,
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
    shown = table("hits", "served")
    for title in ("from confidence", "audits", "wrong", "at most"):
        shown.add_column(title, justify="right")
    for row in rows if bands else _best(rows):
        shown.add_row(
            _name(str(row["stratum"])),
            Text("yes", style="green")
            if row["proven"]
            else Text("no: worse", style="red")
            if row["worse"]
            else "not yet",
            f"{row['confidence_from']:.2f}",
            f"{row['audits']:,.0f}",
            f"{row['wrong_share']:.1%}",
            f"{row['upper_bound']:.1%}",
        )
    out.print(shown)
    seen = rows[0]["judge_sensitivity"]
    out.print(
        Text(
            f"\nwrong: of those audited; at most: the bound. The judge sees at least {seen:.0%} of the differences; the rest is "
            "part of the bound.",
            style="dim",
        )
    )


def _best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each kind of hits the least sure that are proven, else those that are nearest to it."""
    kinds_of: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds_of.setdefault(str(row["stratum"]), []).append(row)
    return [
        min(bands, key=lambda row: (not row["proven"], row["confidence_from"] if row["proven"] else row["upper_bound"]))
        for bands in kinds_of.values()
    ]


def _name(stratum: str) -> str:
    """Return a stratum's name with a tenant's digest cut short."""
    return " ".join(word[:12] if len(word) == DIGEST else word for word in stratum.split())


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
