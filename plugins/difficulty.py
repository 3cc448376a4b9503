"""The built-in predictor of how likely a small engine is to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import PREDICTOR, Build, NoSettings, Registrar
from ..policies.difficulty.logistic import LogisticDifficulty

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Predictor


def _make_difficulty(settings: NoSettings, build: Build) -> Predictor:  # noqa: ARG001
    return LogisticDifficulty()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "difficulty"."""
    registry.add(PREDICTOR, "difficulty", _make_difficulty, settings=NoSettings)
