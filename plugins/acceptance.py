"""The built-in acceptance policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ACCEPTANCE, Build, Registrar, Settings
from ..policies.acceptance.threshold import DEFAULT_THRESHOLD, ThresholdAcceptance

if TYPE_CHECKING:
    from ..middleware.protocols import Acceptance


class ThresholdSettings(Settings):
    """When a similar question counts as the same.

    Attributes:
        threshold: the lowest cosine similarity to accept. The default is for the embedder ``minilm``.
    """

    threshold: Annotated[float, Field(ge=-1, le=1)] = DEFAULT_THRESHOLD


def _make_threshold(settings: ThresholdSettings, build: Build) -> Acceptance:  # noqa: ARG001
    return ThresholdAcceptance(threshold=settings.threshold)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "threshold"."""
    registry.add(ACCEPTANCE, "threshold", _make_threshold, settings=ThresholdSettings)
