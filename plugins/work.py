"""The built-in predictor of what a request will take of its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import PREDICTOR, Build, Registrar, Settings
from ..policies.work.law import BLOCK, BUDGET, Shape

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Predictor

_Count = Annotated[int, Field(ge=1)]
_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class EngineSettings(Settings):
    """What is known of an engine; the rest is learned.

    Attributes:
        max_num_seqs: how many sequences it runs at a time (vLLM's ``--max-num-seqs``); None to learn it from who had to wait.
        kv_tokens: how many tokens its KV cache holds (vLLM logs it at start); None where that does not limit it.
        max_num_batched_tokens: of one iteration, as vLLM's setting of that name; at least `max_num_seqs`.
        block_size: tokens of one block of the KV cache.
    """

    max_num_seqs: _Count | None = None
    kv_tokens: _Count | None = None
    max_num_batched_tokens: _Count = BUDGET
    block_size: _Count = BLOCK

    @model_validator(mode="after")
    def _all_can_decode(self) -> EngineSettings:
        if self.max_num_seqs is not None and self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs")
        return self


class PriceSettings(Settings):
    """US dollars for a million tokens.

    Attributes:
        input: of the prompt.
        output: of the answer.
    """

    input: _Usd
    output: _Usd


class WorkSettings(Settings):
    """Facts about engines and prices. Keys are model names, ``*`` and ``?`` allowed; the first that fits counts.

    Attributes:
        engines: what limits the engine of a model.
        prices: what its tokens cost.
    """

    engines: dict[str, EngineSettings] = Field(default_factory=dict[str, EngineSettings])
    prices: dict[str, PriceSettings] = Field(default_factory=dict[str, PriceSettings])


def _make_work(settings: WorkSettings, build: Build) -> Predictor:  # noqa: ARG001
    from ..policies.work.predictor import Price, WorkPredictor  # numpy takes a while to load

    return WorkPredictor(
        shapes={
            pattern: Shape(one.max_num_seqs, one.kv_tokens, one.max_num_batched_tokens, one.block_size)
            for pattern, one in settings.engines.items()
        },
        prices={pattern: Price(one.input, one.output) for pattern, one in settings.prices.items()},
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "work"."""
    registry.add(PREDICTOR, "work", _make_work, settings=WorkSettings)
