"""The built-in context readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import CONTEXT, Build, NoSettings, Registrar
from ..policies.context.reading import ContextualReading
from ..policies.context.turns import EveryTurn

if TYPE_CHECKING:
    from ..middleware.protocols import ContextReader


def _make_turns(settings: NoSettings, build: Build) -> ContextReader:  # noqa: ARG001
    return EveryTurn()


def _make_reading(settings: NoSettings, build: Build) -> ContextReader:  # noqa: ARG001
    return ContextualReading()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "turns" and "reading"."""
    registry.add(CONTEXT, "turns", _make_turns, settings=NoSettings)
    registry.add(CONTEXT, "reading", _make_reading, settings=NoSettings)
