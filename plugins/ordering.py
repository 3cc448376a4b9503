"""The built-in orderings of the admit stop: who is next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.analysis.facts import Priority
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ORDERING, Build, NoSettings, Registrar, Settings
from ..policies.ordering.accounts import CREDIT_TOKENS, TENANTS
from ..policies.ordering.composed import EVERY, GUARD, PATIENCE_S, Composed
from ..policies.ordering.deadline import Deadline
from ..policies.ordering.fair import Fair
from ..policies.ordering.fcfs import FCFS
from ..policies.ordering.prefix import Prefix
from ..policies.ordering.shortest_first import ShortestFirst

if TYPE_CHECKING:
    from ..middleware.admission.protocols import Ordering

_Seconds = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RankedSettings(Settings):
    """How the oldest is helped in an order by one number: by predicted output, or by when each must enter.

    Attributes:
        patience_s: how long the oldest waits before it is helped.
        every: then every so many-th that is let in is the oldest.
    """

    patience_s: _Seconds = 30.0
    every: _Count = 4


class FairSettings(Settings):
    """Tenants in turn, by what they were served.

    Attributes:
        weights: shares of tenants by shell-style pattern (``team-*: 2``), the first that fits counts; 1 where none does.
        tenants: how many that do not wait are remembered.
    """

    weights: dict[str, _Weight] = Field(default_factory=dict[str, float])
    tenants: _Count = TENANTS


class PrefixSettings(Settings):
    """Prompts that begin alike one after the other.

    Attributes:
        blocks: of prompts let in that are remembered: about as many as the engine's prefix cache holds.
        window: how many of the oldest are looked at.
        skips: every so many-th that is let in is the oldest.
    """

    blocks: _Count = 8_000
    window: _Count = 256
    skips: _Count = 64


class PatienceSettings(Settings):
    """How many seconds a request of each class waits before it is helped.

    Attributes:
        interactive, standard, batch, background: of the class of that name; 0 helps it from the start.
    """

    interactive: _Seconds = PATIENCE_S[Priority.INTERACTIVE]
    standard: _Seconds = PATIENCE_S[Priority.STANDARD]
    batch: _Seconds = PATIENCE_S[Priority.BATCH]
    background: _Seconds = PATIENCE_S[Priority.BACKGROUND]


class ComposedSettings(Settings):
    """Classes, tenants, deadlines and lengths in one order.

    Attributes:
        patience_s: how long each class waits before it is helped.
        every: of those of one tenant and class that are let in, every so many-th is the oldest, once its patience has ended.
        guard: of all that are let in, every so many-th is the one whose patience ended first.
        weights: shares of tenants by shell-style pattern (``team-*: 2``), the first that fits counts; 1 where none does.
        tenants: how many that do not wait are remembered, for each class.
        credit_tokens: how many prompt tokens (an output token counts for two) a tenant that asks for little stays ahead of those
            that ask for much; 0 lets it begin as their equal each time.
    """

    patience_s: PatienceSettings = PatienceSettings()
    every: _Count = EVERY
    guard: _Count = GUARD
    weights: dict[str, _Weight] = Field(default_factory=dict[str, float])
    tenants: _Count = TENANTS
    credit_tokens: Annotated[float, Field(ge=0, allow_inf_nan=False)] = CREDIT_TOKENS


def _make_fcfs(settings: NoSettings, build: Build) -> Ordering:  # noqa: ARG001
    return FCFS()


def _make_shortest_first(settings: RankedSettings, build: Build) -> Ordering:  # noqa: ARG001
    return ShortestFirst(patience_s=settings.patience_s, every=settings.every)


def _make_deadline(settings: RankedSettings, build: Build) -> Ordering:  # noqa: ARG001
    return Deadline(patience_s=settings.patience_s, every=settings.every)


def _make_fair(settings: FairSettings, build: Build) -> Ordering:  # noqa: ARG001
    return Fair(weights=settings.weights, tenants=settings.tenants)


def _make_prefix(settings: PrefixSettings, build: Build) -> Ordering:  # noqa: ARG001
    return Prefix(blocks=settings.blocks, window=settings.window, skips=settings.skips)


def _make_composed(settings: ComposedSettings, build: Build) -> Ordering:  # noqa: ARG001
    patience_s = {Priority(name): wait_s for name, wait_s in settings.patience_s.model_dump().items()}
    return Composed(
        patience_s=patience_s,
        every=settings.every,
        guard=settings.guard,
        weights=settings.weights,
        tenants=settings.tenants,
        credit_tokens=settings.credit_tokens,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the orderings."""
    registry.add(ORDERING, "fcfs", _make_fcfs, settings=NoSettings)
    registry.add(ORDERING, "shortest_first", _make_shortest_first, settings=RankedSettings)
    registry.add(ORDERING, "deadline", _make_deadline, settings=RankedSettings)
    registry.add(ORDERING, "fair", _make_fair, settings=FairSettings)
    registry.add(ORDERING, "prefix", _make_prefix, settings=PrefixSettings)
    registry.add(ORDERING, "composed", _make_composed, settings=ComposedSettings)
