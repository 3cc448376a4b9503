"""Strategies chosen by rules over a request's facts, the load and the goodput."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Priority, Volatility
from ...middleware.analysis.strategies import Choice, Situation, Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class StrategyRule:
    """When to use a strategy: all that is given must hold. What a rule asks for and nobody knows does not hold.

    Attributes:
        use: name of the strategy.
        name: of the rule: the reason that is recorded.
        model, tenant, endpoint: shell-style patterns.
        priority, volatility: classes, one of which it must be; () for any.
        min_input_tokens, max_input_tokens: of the prompt.
        labels: patterns for a plugin's own facts, by name.
        queued_at_least: requests waiting in front of the engines.
        busy_at_least: share of the limit's places that are taken, in [0, 1].
        goodput_below: share of the last minute's requests that met their objective.
        rate_at_least: requests a second that are forecast for the next 10 s.
    """

    use: str
    name: str
    model: str = "*"
    tenant: str = "*"
    endpoint: str = "*"
    priority: tuple[Priority, ...] = ()
    volatility: tuple[Volatility, ...] = ()
    min_input_tokens: int | None = None
    max_input_tokens: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    queued_at_least: int | None = None
    busy_at_least: float | None = None
    goodput_below: float | None = None
    rate_at_least: float | None = None

    def holds(self, situation: Situation) -> bool:
        """Return whether everything it asks for is so."""
        return self._is_about(situation) and self._loaded(situation)

    def _is_about(self, situation: Situation) -> bool:
        request, facts = situation.request, situation.facts
        tokens = facts.prompt_tokens
        kind = facts.staleness.volatility if facts.staleness is not None else None
        return (
            (not self.priority or facts.priority in self.priority)
            and (not self.volatility or kind in self.volatility)
            and (self.min_input_tokens is None or tokens >= self.min_input_tokens)
            and (self.max_input_tokens is None or tokens <= self.max_input_tokens)
            and _matches(self.model, request.model)
            and _matches(self.tenant, request.tenant)
            and _matches(self.endpoint, request.endpoint)
            and (
                not self.labels
                or all(
                    name in facts.labels and fnmatchcase(str(facts.labels[name]), wanted)
                    for name, wanted in self.labels.items()
                )
            )
        )

    def _loaded(self, situation: Situation) -> bool:
        load, goodput, stream = situation.load, situation.goodput, situation.stream
        coming = stream.forecasts.get(10.0) if stream is not None else None
        busy = load.inflight / situation.places if situation.places else None
        return (
            (self.queued_at_least is None or load.queued >= self.queued_at_least)
            and (self.busy_at_least is None or (busy is not None and busy >= self.busy_at_least))
            and (self.goodput_below is None or (goodput is not None and goodput < self.goodput_below))
            and (self.rate_at_least is None or (coming is not None and coming.rate >= self.rate_at_least))
        )


STRATEGIES: Final = (
    Strategy("balanced"),
    # what nobody waits for can afford to be sure, and pays for the proof that later traffic uses
    Strategy("offline", strictness=0.9, audits=2.0),
    Strategy("latency"),
    Strategy("throughput", audits=0.5),
    # an audit is a call to an engine that has no room for it
    Strategy("overload", audits=0.0),
)
RULES: Final = (
    StrategyRule("overload", "goodput_lost", goodput_below=0.8, queued_at_least=1),
    StrategyRule("offline", "nobody_waits", priority=(Priority.BATCH, Priority.BACKGROUND)),
    StrategyRule("throughput", "queue", queued_at_least=1),
    StrategyRule("latency", "interactive", priority=(Priority.INTERACTIVE,)),
)


class RuleStrategist:
    """The first rule that holds decides; where none does, the strategy ``default``.

    Args:
        strategies: those that rules may use.
        rules: the operator's, in order, before the built-in ones.
        default: name of the strategy where no rule holds.

    Raises:
        ValueError: a rule or the default names a strategy that is not there.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy] = STRATEGIES,
        rules: Sequence[StrategyRule] = RULES,
        default: str = "balanced",
    ) -> None:
        table = {strategy.name: strategy for strategy in strategies}
        unknown = {name for name in (default, *(rule.use for rule in rules)) if name not in table}
        if unknown:
            raise ValueError(f"there is no strategy {', '.join(sorted(unknown))}; there are {', '.join(sorted(table))}")
        self._choices = [(rule, Choice(table[rule.use], rule.name)) for rule in rules]
        self._default = Choice(table[default], DEFAULT)

    def choose(self, situation: Situation) -> Choice:
        """Return the strategy and the rule's name."""
        for rule, choice in self._choices:
            if rule.holds(situation):
                return choice
        return self._default


def _matches(pattern: str, value: str) -> bool:
    return pattern == "*" or fnmatchcase(value, pattern)
