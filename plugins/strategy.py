"""The built-in strategies: rules over facts, load and goodput."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic reads it)
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from ..middleware.analysis.facts import Priority, Volatility  # noqa: TC001  (pydantic reads them)
from ..middleware.analysis.strategies import Strategy
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import STRATEGY, Build, Registrar, Settings
from ..policies.strategy.rules import RULES, STRATEGIES, RuleStrategist, StrategyRule

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Strategist

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class StrategySettings(Settings):
    """A named way to treat requests.

    Attributes:
        strictness: least confidence of a semantic hit, on top of the acceptance policy's own demand.
        audits: times the acceptance policy's share of audits.
    """

    strictness: _Share = 0.0
    audits: _Number = 1.0


class RuleSettings(Settings):
    """When to use a strategy: all that is given must hold; see `StrategyRule`."""

    use: str
    name: Annotated[str, Field(max_length=40)] | None = None
    model: str = "*"
    tenant: str = "*"
    endpoint: str = "*"
    priority: tuple[Priority, ...] = ()
    volatility: tuple[Volatility, ...] = ()
    min_input_tokens: _Count | None = None
    max_input_tokens: _Count | None = None
    labels: Mapping[str, str] = Field(default_factory=dict[str, str])
    queued_at_least: _Count | None = None
    busy_at_least: _Share | None = None
    goodput_below: _Share | None = None
    rate_at_least: _Number | None = None


class RulesSettings(Settings):
    """Which strategies there are, and when each is used.

    Attributes:
        strategies: changed or further ones by name, beside latency, balanced, throughput, overload and offline.
        rules: looked at in order, before the built-in ones; the first that holds decides.
        builtin_rules: whether the built-in rules are looked at after them.
        default: the strategy where no rule holds.
    """

    strategies: Mapping[str, StrategySettings] = Field(default_factory=dict[str, StrategySettings])
    rules: tuple[RuleSettings, ...] = ()
    builtin_rules: bool = True
    default: str = "balanced"

    @model_validator(mode="after")
    def _named(self) -> Self:
        """Refuse names of strategies that are not there."""
        made_from(self)
        return self


def made_from(settings: RulesSettings) -> RuleStrategist:
    """Return the strategist.

    Raises:
        ValueError: a rule or the default names a strategy that is not there.
    """
    table = {strategy.name: strategy for strategy in STRATEGIES}
    for name, one in settings.strategies.items():
        table[name] = Strategy(name, **one.model_dump())
    own = tuple(
        StrategyRule(name=rule.name or f"rule_{index}", **rule.model_dump(exclude={"name"}))
        for index, rule in enumerate(settings.rules)
    )
    return RuleStrategist(tuple(table.values()), own + (RULES if settings.builtin_rules else ()), settings.default)


def _make_rules(settings: RulesSettings, build: Build) -> Strategist:  # noqa: ARG001
    return made_from(settings)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the strategy "rules"."""
    registry.add(STRATEGY, "rules", _make_rules, settings=RulesSettings)
