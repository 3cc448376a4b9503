"""The built-in analyzer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ANALYZER, Build, NoSettings, Registrar
from ..policies.analysis.basic import BasicAnalyzer

if TYPE_CHECKING:
    from ..middleware.protocols import Analyzer


def _make_basic(settings: NoSettings, build: Build) -> Analyzer:  # noqa: ARG001
    return BasicAnalyzer()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "basic"."""
    registry.add(ANALYZER, "basic", _make_basic, settings=NoSettings)
