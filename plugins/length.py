"""The built-in predictor of the length of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import PREDICTOR, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Predictor


class LengthSettings(Settings):
    """Settings of the predictor "length"."""

    typical_tokens: float = Field(default=250.0, gt=0, le=1_000_000)
    """Output tokens of a usual answer, until some were seen; thousands for a reasoning model."""


def _make_length(settings: LengthSettings, build: Build) -> Predictor:  # noqa: ARG001
    from ..policies.length.predictor import LengthPredictor

    return LengthPredictor(typical_tokens=settings.typical_tokens)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "length"."""
    registry.add(PREDICTOR, "length", _make_length, settings=LengthSettings)
