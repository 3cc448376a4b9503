"""``forebay plugins``: what is loaded and what it registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .components import missing_packages, places
from .session import console, say_json, session_of, table

if TYPE_CHECKING:
    from ..registry import Registered


def plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the loaded plugins and the components they registered."""
    session = session_of(context)
    manager = session.plugins
    wanted = {(kind.name, spec.type) for _, kind, spec in places(session.config)}
    missing = {item.extra: missing_packages(item.extra) if item.extra else [] for item in manager.registry}
    if as_json:
        say_json(
            {
                "plugins": [
                    {"name": p.name, "distribution": p.distribution, "version": p.version} for p in manager.loaded
                ],
                "components": [
                    {
                        "kind": item.kind,
                        "name": item.name,
                        "plugin": item.plugin,
                        "stability": item.stability,
                        "extra": item.extra,
                        "missing": missing[item.extra],
                        "chosen": (item.kind, item.name) in wanted,
                    }
                    for item in manager.registry
                ],
            }
        )
        return
    out = console()
    sources: dict[str, list[str]] = {}
    for plugin in manager.loaded:
        sources.setdefault(f"{plugin.distribution} {plugin.version}".strip(), []).append(plugin.name)
    for source, names in sources.items():
        out.print(Text.assemble((source, "bold"), "  ", ", ".join(names)))
    out.print()
    rows = table("", "kind", "name", "plugin", "stability", "installed")
    last = ""
    for item in manager.registry:
        used = (item.kind, item.name) in wanted
        rows.add_row(
            Text("*", style="green") if used else "",
            item.kind if item.kind != last else "",
            Text(item.name, style="bold" if used else ""),
            item.plugin,
            Text(item.stability, style="" if item.stability == "stable" else "yellow"),
            _installed(item, missing[item.extra]),
        )
        last = item.kind
    out.print(rows)
    out.print(Text(f"\n* chosen by {session.source}", style="dim"))


def _installed(item: Registered, missing: list[str]) -> Text:
    if not missing:
        return Text("yes", style="green")
    return Text(f"no: pip install 'forebay[{item.extra}]'", style="yellow")
