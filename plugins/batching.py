"""The built-in batch formers, for engines that want whole batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import BATCH_FORMER, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.admission.protocols import BatchFormer


class CurveSettings(Settings):
    """Batches by a latency curve that is learned while they run.

    Attributes:
        max_batch_size: members of a batch.
        max_tokens: prompts and predicted answers of a batch, summed; none is no bound.
        max_padded_tokens: the same with every member as long as the longest: what an engine that pads keeps in memory. Memory
            over bytes a token is the value to give.
        window: members that are considered at once, the oldest first.
    """

    max_batch_size: Annotated[int, Field(ge=1, le=256)] = 32
    max_tokens: Annotated[float | None, Field(gt=0)] = None
    max_padded_tokens: Annotated[float | None, Field(gt=0)] = None
    window: Annotated[int, Field(ge=1, le=256)] = 64


def _make_curve(settings: CurveSettings, build: Build) -> BatchFormer:  # noqa: ARG001
    from ..policies.batching.former import CurveFormer  # numpy takes a while to load
    from ..policies.batching.plan import Budget

    budget = Budget(settings.max_batch_size, settings.max_tokens or math.inf, settings.max_padded_tokens or math.inf)
    return CurveFormer(budget, window=settings.window)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the batch former "curve"."""
    registry.add(BATCH_FORMER, "curve", _make_curve, settings=CurveSettings, stability="beta")
