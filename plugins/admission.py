"""The built-in ordering and limits of the admit stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import LIMIT, ORDERING, Build, NoSettings, Registrar, Settings
from ..policies.limit.fixed import FixedLimit
from ..policies.limit.none import NoLimit
from ..policies.ordering.fcfs import FCFS

if TYPE_CHECKING:
    from ..middleware.protocols import Limit, Ordering


class FixedLimitSettings(Settings):
    """How much may be inside the engine.

    Attributes:
        max_inflight: requests inside at the same time; the others wait in the queue.
    """

    max_inflight: Annotated[int, Field(ge=1)]


def _make_fcfs(settings: NoSettings, build: Build) -> Ordering:  # noqa: ARG001
    return FCFS()


def _make_none(settings: NoSettings, build: Build) -> Limit:  # noqa: ARG001
    return NoLimit()


def _make_fixed(settings: FixedLimitSettings, build: Build) -> Limit:  # noqa: ARG001
    return FixedLimit(max_inflight=settings.max_inflight)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the ordering "fcfs" and the limits "none" and "fixed"."""
    registry.add(ORDERING, "fcfs", _make_fcfs, settings=NoSettings)
    registry.add(LIMIT, "none", _make_none, settings=NoSettings)
    registry.add(LIMIT, "fixed", _make_fixed, settings=FixedLimitSettings)
