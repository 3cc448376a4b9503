"""``forebay off`` and ``forebay on``: the kill switch."""

from __future__ import annotations

from pathlib import Path

import typer  # noqa: TC002  (typer reads the annotations)

from ..modes import KILL_FILE
from .session import console, session_of


def off(context: typer.Context) -> None:
    """Let every request pass through untouched, from now on, without a restart."""
    from ..runtime import prepare_state_dir  # here, because --help must not wait for it

    state_dir = prepare_state_dir(session_of(context).config.state_dir)
    (state_dir / KILL_FILE).touch()
    console().print(f"off: within a second, all processes that use {state_dir} let requests pass through untouched")


def on(context: typer.Context) -> None:
    """Take part again."""
    state_dir = Path(session_of(context).config.state_dir).expanduser().resolve()
    file = state_dir / KILL_FILE
    was_off = file.exists()
    file.unlink(missing_ok=True)
    if was_off:
        console().print(f"on: within a second, all processes that use {state_dir} take part again")
    else:
        console().print(f"it was on already (there is no {file})")
