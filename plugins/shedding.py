"""The built-in shedding policies of the admit stop: who is refused instead of waiting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.analysis.facts import Priority  # noqa: TC001 (pydantic reads it)
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import SHEDDING, Build, Registrar, Settings
from ..policies.shedding.deadline import GRACE, OVERTAKING, SHARES, DeadlineShedding

if TYPE_CHECKING:
    from ..middleware.admission.protocols import Shedding

_Share = Annotated[float, Field(gt=0, le=1)]


class DeadlineSheddingSettings(Settings):
    """Who is refused instead of waiting.

    Attributes:
        max_requests, max_tokens: that may wait in front of one deployment; tokens are prompts and predicted outputs.
        shares: of both, by priority class: how full the queue may be when one of that class comes.
        tenant_share: of both that one tenant may have, waiting and inside.
        by_objective: refuse, too, who cannot be answered within the objective or the caller's deadline any more.
        overtaking: how many times what its objective leaves a request may be expected to wait, before it is refused at once.
        grace: how many times what its objective leaves a request may have waited, before it is put out.
    """

    max_requests: Annotated[int, Field(ge=1)] = 1_000
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    shares: dict[Priority, _Share] = Field(default_factory=lambda: dict(SHARES))
    tenant_share: _Share = 1.0
    by_objective: bool = False
    overtaking: Annotated[float, Field(ge=1)] = OVERTAKING
    grace: Annotated[float, Field(ge=1)] = GRACE


def _make_deadline(settings: DeadlineSheddingSettings, build: Build) -> Shedding:  # noqa: ARG001
    return DeadlineShedding(
        max_requests=settings.max_requests,
        max_tokens=math.inf if settings.max_tokens is None else settings.max_tokens,
        shares=settings.shares,
        tenant_share=settings.tenant_share,
        by_objective=settings.by_objective,
        overtaking=settings.overtaking,
        grace=settings.grace,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the shedding policy "deadline"."""
    registry.add(SHEDDING, "deadline", _make_deadline, settings=DeadlineSheddingSettings)
