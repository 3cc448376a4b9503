"""What every sub-command shares: the config, the plugins, and how to speak."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..config import load_config
from ..plugin_manager import PluginManager

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import typer

    from ..config import Config

DEFAULT_FILE: Final = "forebay.yaml"
PLAIN_WIDTH: Final = 140
"""Columns of what is not a terminal: a log file has no edge to fold at."""


@dataclass(frozen=True)
class Session:
    """The options before the sub-command.

    Attributes:
        option: what ``--config`` or FOREBAY_CONFIG says, None where neither does.
    """

    option: str | None

    @property
    def path(self) -> str | None:
        """The config file, None where the defaults hold."""
        return self.option or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else None)

    @property
    def source(self) -> str:
        """Where the config comes from, for people."""
        return self.path or f"the defaults (no --config, no FOREBAY_CONFIG, no ./{DEFAULT_FILE})"

    @cached_property
    def config(self) -> Config:
        """The validated configuration.

        Raises:
            ConfigError: it is wrong.
        """
        return load_config(self.path)

    @cached_property
    def plugins(self) -> PluginManager:
        """The plugins that the config wants.

        Raises:
            ConfigError, PluginError: one is not installed or broken.
        """
        return PluginManager.from_entry_points(self.config.plugins)


def session_of(context: typer.Context) -> Session:
    """Return the session that the application's callback made."""
    found: Any = context.find_object(Session)
    return found if isinstance(found, Session) else Session(None)


def console() -> Console:
    """Return a console for results."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False)


def say_error(message: str) -> None:
    """Print one red line to standard error."""
    line = Text.assemble(("error: ", "bold red"), (" ".join(message.split()), "red"))
    Console(stderr=True).print(line, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201  (this is what a command line does)


def table(*columns: str) -> Table:
    """Return an empty table in the house's style."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its word."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@contextmanager
def progress(what: str, total: int | None) -> Generator[Callable[[int], None]]:
    """Show how far a command is, on a terminal's standard error; yield what to call with each number of steps done.

    Args:
        total: number of steps, None where it is not known.
    """
    moving = (
        (TextColumn("{task.completed:,.0f}"),)
        if total is None
        else (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    )
    screen = Console(stderr=True)
    shown = screen.is_terminal and total != 0
    bar = Progress(SpinnerColumn(), TextColumn(what), *moving, console=screen, transient=True, disable=not shown)
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
