"""``forebay config``: is it right, and what does it come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import typer
import yaml
from rich.text import Text

from ..config import NAMED
from ..errors import ConfigError
from ..narrow import is_array, is_object
from .components import chosen, missing_packages
from .session import console, session_of, table

if TYPE_CHECKING:
    from .components import Chosen

MASK: Final = "**********"
_SECRET: Final = re.compile(r"secret|token|password|api_?key|admin_?key|authorization", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def check(context: typer.Context) -> None:
    """Check the configuration: every key, every component's settings, every package they need."""
    session = session_of(context)
    found = chosen(session.config, session.plugins.registry, source=session.path or "")
    rows = table("", "place", "component", "plugin")
    complete = True
    for each in found:
        missing = missing_packages(each.item.extra) if each.item.extra else []
        complete = complete and not missing
        rows.add_row(
            Text("missing", style="red") if missing else Text("ok", style="green"),
            each.place,
            each.item.name,
            f"{each.item.plugin}: pip install 'forebay[{each.item.extra}]'" if missing else each.item.plugin,
        )
    out = console()
    out.print(rows)
    if not complete:
        raise ConfigError(
            "the settings are right, but a component they choose is not installed", source=session.path or ""
        )
    out.print(Text(f"\n{session.source}: right", style="green"))


def show(context: typer.Context) -> None:
    """Show the configuration with every default filled in and every secret masked."""
    session = session_of(context)
    config = session.config
    found = {each.place: each for each in chosen(config, session.plugins.registry, source=session.path or "")}
    data = config.model_dump(mode="json")
    for field, names in NAMED.items():  # as they are written: by name
        data[field] = dict.fromkeys(names, "off")
    for place, each in found.items():
        path = place.split(".")
        _put(data, path, _own(each) if path[0] in NAMED else {"type": each.item.name, **_own(each)})
    shown = masked(data)
    typer.echo(f"# {session.source}")
    typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


def masked(value: Any, key: str = "") -> Any:
    """Return settings with everything that may be a secret replaced."""
    if is_object(value):
        return {name: masked(item, name) for name, item in value.items()}
    if is_array(value):
        return [masked(item, key) for item in value]
    if isinstance(value, str) and value:
        return MASK if _SECRET.search(key) else _USERINFO.sub(MASK, value)
    return value


def _own(each: Chosen) -> dict[str, Any]:
    # the model's own dump: it masks what the component declares as secret
    own: dict[str, Any] = each.settings.model_dump(mode="json")
    return own


def _put(data: Any, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        data = data[int(part)] if is_array(data) else data[part]
    if is_array(data):
        data[int(path[-1])] = value
    else:
        data[path[-1]] = value
