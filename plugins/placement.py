"""The built-in placement: which of several engines that answer alike takes a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import PLACEMENT, Build, Registrar, Settings
from ..policies.placement.prefix import LOAD, SPREAD, PrefixPlacement

if TYPE_CHECKING:
    from ..middleware.admission.protocols import Placement


class PrefixPlacementSettings(Settings):
    """Where a prompt is read the soonest.

    Attributes:
        load: what each request that an engine has weighs, in usual prompts.
        spread: an engine gets at most so many times the mean of all, and one request more.
    """

    load: Annotated[float, Field(ge=0)] = LOAD
    spread: Annotated[float, Field(ge=1)] = SPREAD


def _make_prefix(settings: PrefixPlacementSettings, build: Build) -> Placement:  # noqa: ARG001
    return PrefixPlacement(load=settings.load, spread=settings.spread)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the placement "prefix"."""
    registry.add(PLACEMENT, "prefix", _make_prefix, settings=PrefixPlacementSettings)
