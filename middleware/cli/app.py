"""The application: options before the sub-command, sub-commands, and those that plugins registered."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from ..errors import ForebayError
from ..keys import Keyring
from ..plugin_manager import PluginManager
from ..registry import COMMAND, Build
from ..telemetry import Telemetry
from ..version import __version__
from . import (
    audits,
    cache,
    doctor,
    erase,
    explain,
    invalidate,
    listing,
    near_misses,
    predictions,
    reembed,
    savings,
    settings,
    switch,
    transfer,
    warm,
)
from .session import Session, say_error, session_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..protocols import Command
    from ..registry import Registry

HELP = "forebay answers what has been answered before, and lets the rest in to the engine in the best order."


class Group(TyperGroup):
    """Adds the commands that plugins registered, and prints each `ForebayError` as one line.

    Typer's own types differ between its versions, so what it hands over is `Any`.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all sub-commands, the registered ones last."""
        own = super().list_commands(ctx)
        try:
            return [*own, *(name for name in _registry(ctx).names(COMMAND) if name not in own)]
        except ForebayError:  # help must come also where the config is broken
            return own

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a sub-command by name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        # built-in commands run without a config: the demo must not stumble over one that lies in the folder
        builtin = PluginManager.from_entry_points().registry
        registry = builtin if cmd_name in builtin.names(COMMAND) else _registry(ctx)
        return RawCommand(registry, cmd_name) if cmd_name in registry.names(COMMAND) else None

    def invoke(self, ctx: Any) -> Any:
        """Run a sub-command."""
        try:
            return super().invoke(ctx)
        except ForebayError as error:
            say_error(str(error))
            raise typer.Exit(2) from None


class RawCommand(TyperCommand):
    """A registered command: gets the words after its name as they are."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        super().__init__(name, help=escape(self._help(name)), add_help_option=False)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take all words, options too."""
        ctx.args = list(args)
        return []

    def invoke(self, ctx: Any) -> Any:
        """Make the command and run it."""
        option = session_of(ctx).option
        if option is not None:
            os.environ["FOREBAY_CONFIG"] = option  # how a command that starts processes hands it on
        with _made(self._registry, str(self.name)) as command:
            raise typer.Exit(command.run(ctx.args))

    def _help(self, name: str) -> str:
        try:
            with _made(self._registry, name) as command:
                return command.help
        except ForebayError as error:
            return f"Not available: {error}"


app = typer.Typer(
    cls=Group,
    name="forebay",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Look into the kept answers, drop them, save and fill them.", no_args_is_help=True)
config_app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"forebay {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            envvar="FOREBAY_CONFIG",
            metavar="FILE",
            help="YAML file; ./forebay.yaml where it exists, else the defaults.",
        ),
    ] = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Show the version.")
    ] = False,
) -> None:
    """Keep the options for the sub-command."""
    # what a command has to say it prints; without a handler Python would print warnings beside it
    logging.getLogger(__name__.partition(".")[0]).addHandler(logging.NullHandler())
    context.obj = Session(config)


options.__doc__ = HELP
app.command("doctor")(doctor.doctor)
app.command("plugins")(listing.plugins)
app.command("explain")(explain.explain)
app.command("savings")(savings.savings)
app.command("audits")(audits.audits)
app.command("predictions")(predictions.predictions)
app.command("off")(switch.off)
app.command("on")(switch.on)
app.add_typer(config_app, name="config")
app.add_typer(cache_app, name="cache")
config_app.command("check")(settings.check)
config_app.command("show")(settings.show)
cache_app.command("stats")(cache.stats)
cache_app.command("clear")(cache.clear)
cache_app.command("forget")(invalidate.forget)
cache_app.command("bump")(invalidate.bump)
cache_app.command("erase")(erase.erase)
cache_app.command("export")(transfer.export)
cache_app.command("import")(transfer.import_)
cache_app.command("reembed")(reembed.reembed)
cache_app.command("warm")(warm.warm)
cache_app.command("near-misses")(near_misses.near_misses)


def _registry(ctx: Any) -> Registry:
    option: str | None = ctx.params.get("config")
    return Session(option).plugins.registry


@contextmanager
def _made(registry: Registry, name: str) -> Generator[Command]:
    """Make a command with a folder that is its own: the configured one belongs to whatever serves from it."""
    with tempfile.TemporaryDirectory(prefix="forebay-") as folder:
        state_dir = Path(folder)
        build = Build(state_dir, Keyring.from_state_dir(state_dir), Telemetry(enabled=False))
        yield registry.build(COMMAND, name, {}, build)
