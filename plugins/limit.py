"""The built-in limits of the admit stop: how much may be inside an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.analysis.facts import Priority  # noqa: TC001 (pydantic reads it)
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import LIMIT, Build, NoSettings, Registrar, Settings
from ..policies.limit.fixed import FixedLimit
from ..policies.limit.none import NoLimit
from ..policies.limit.tokens import SHARE, TokenLimit

if TYPE_CHECKING:
    from ..middleware.admission.protocols import Limit


def _reserve() -> dict[Priority, float]:
    from ..policies.limit.goodput import RESERVE  # numpy takes a while to load

    return dict(RESERVE)


class FixedLimitSettings(Settings):
    """How much may be inside the engine.

    Attributes:
        max_inflight: requests inside at the same time; the others wait in the queue.
    """

    max_inflight: Annotated[int, Field(ge=1)]


class TokenLimitSettings(Settings):
    """How much may be inside the engine, in tokens.

    Attributes:
        kv_tokens: tokens that the engine's KV cache holds (vLLM logs it at its start as "GPU KV cache size").
        share: of those that prompts and predicted outputs may take.
        max_inflight: requests inside at the same time, besides.
    """

    kv_tokens: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(gt=0, le=1)] = SHARE
    max_inflight: Annotated[int | None, Field(ge=1)] = None


class GoodputLimitSettings(Settings):
    """What is known of the engine of which the number inside is steered by the objectives.

    Attributes:
        max_inflight: the engine's own number (vLLM's max_num_seqs), where the limit starts and which it never exceeds; without
            one it starts at 128.
        kv_tokens: tokens that its KV cache holds (vLLM logs it at its start as "GPU KV cache size").
        reserve: share of the places into which a priority class does not come while a more urgent one is inside; for
            orderings by class (composed): in another, who is kept out keeps all behind it waiting.
    """

    max_inflight: Annotated[int | None, Field(ge=1)] = None
    kv_tokens: Annotated[int | None, Field(ge=1)] = None
    reserve: dict[Priority, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=_reserve)


def _make_none(settings: NoSettings, build: Build) -> Limit:  # noqa: ARG001
    return NoLimit()


def _make_fixed(settings: FixedLimitSettings, build: Build) -> Limit:  # noqa: ARG001
    return FixedLimit(max_inflight=settings.max_inflight)


def _make_tokens(settings: TokenLimitSettings, build: Build) -> Limit:  # noqa: ARG001
    return TokenLimit(kv_tokens=settings.kv_tokens, share=settings.share, max_inflight=settings.max_inflight)


def _make_goodput(settings: GoodputLimitSettings, build: Build) -> Limit:  # noqa: ARG001
    from ..policies.limit.goodput import GoodputLimit  # as above

    return GoodputLimit(max_inflight=settings.max_inflight, kv_tokens=settings.kv_tokens, reserve=settings.reserve)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the limits "none", "fixed", "tokens" and "goodput"."""
    registry.add(LIMIT, "none", _make_none, settings=NoSettings)
    registry.add(LIMIT, "fixed", _make_fixed, settings=FixedLimitSettings)
    registry.add(LIMIT, "tokens", _make_tokens, settings=TokenLimitSettings)
    registry.add(LIMIT, "goodput", _make_goodput, settings=GoodputLimitSettings)
