from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import Priority, Profile, RequestFacts, Staleness, Urgency, Volatility
from forebay.middleware.analysis.strategies import Situation, Strategy
from forebay.middleware.analysis.stream import Forecast, StreamFacts
from forebay.middleware.records import Request
from forebay.policies.strategy.rules import RULES, STRATEGIES, RuleStrategist, StrategyRule
from tests.contract.strategist import StrategistContract

PLAIN = Situation(
    request=Request("1", "gpt-4o", [], tenant="acme"),
    facts=RequestFacts(100, 1, "question", cacheable=True, semantic=True),
    load=Load(0, 0),
)


def of(situation: Situation = PLAIN, **changes: Any) -> Situation:
    facts = {name: changes.pop(name) for name in ("urgency", "staleness", "profile", "labels") if name in changes}
    return replace(situation, facts=replace(situation.facts, **facts), **changes)


def urgent(priority: Priority) -> Situation:
    return of(urgency=Urgency(priority, "told"))


class TestContract(StrategistContract):
    @pytest.fixture
    def strategist(self) -> RuleStrategist:
        return RuleStrategist()


class TestContractWithEveryCondition(StrategistContract):
    @pytest.fixture
    def strategist(self) -> RuleStrategist:
        whole = StrategyRule(
            "overload",
            "whole",
            model="*4*",
            tenant="a*",
            priority=(Priority.BATCH,),
            volatility=(Volatility.LIVE,),
            min_input_tokens=1,
            max_input_tokens=9,
            labels={"a": "b*"},
            queued_at_least=1,
            busy_at_least=0.5,
            goodput_below=0.5,
            rate_at_least=1.0,
        )
        return RuleStrategist(rules=(whole,))


@pytest.mark.parametrize(
    ("situation", "strategy", "reason"),
    [
        (PLAIN, "balanced", "default"),
        (urgent(Priority.STANDARD), "balanced", "default"),
        (urgent(Priority.INTERACTIVE), "latency", "interactive"),
        (urgent(Priority.BATCH), "offline", "nobody_waits"),
        (urgent(Priority.BACKGROUND), "offline", "nobody_waits"),
        (of(load=Load(8, 1)), "throughput", "queue"),
        (of(urgent(Priority.INTERACTIVE), load=Load(8, 1)), "throughput", "queue"),
        (of(load=Load(8, 1), goodput=0.5), "overload", "goodput_lost"),
        (of(urgent(Priority.BATCH), load=Load(8, 1), goodput=0.5), "overload", "goodput_lost"),
        (of(load=Load(8, 0), goodput=0.5), "balanced", "default"),
        (of(load=Load(8, 1), goodput=0.9), "throughput", "queue"),
        (of(load=Load(8, 1), goodput=None), "throughput", "queue"),
    ],
)
def test_the_built_in_rules(situation: Situation, strategy: str, reason: str) -> None:
    choice = RuleStrategist().choose(situation)
    assert (choice.strategy.name, choice.reason) == (strategy, reason)


COMING = StreamFacts(forecasts={10.0: Forecast(10.0, 50.0, 40.0, 60.0)})


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ({"model": "gpt-*"}, PLAIN, replace(PLAIN, request=Request("1", "llama", []))),
        ({"tenant": "acme"}, PLAIN, replace(PLAIN, request=Request("1", "gpt-4o", [], tenant="other"))),
        ({"endpoint": "chat"}, PLAIN, replace(PLAIN, request=Request("1", "gpt-4o", [], endpoint="embeddings"))),
        ({"min_input_tokens": 500}, of(profile=Profile(500)), PLAIN),
        ({"max_input_tokens": 100}, PLAIN, of(profile=Profile(500))),
        ({"volatility": (Volatility.LIVE,)}, of(staleness=Staleness(Volatility.LIVE, "told")), PLAIN),
        ({"priority": (Priority.BATCH,)}, urgent(Priority.BATCH), PLAIN),
        ({"labels": {"domain": "law*"}}, of(labels={"domain": "lawsuit"}), PLAIN),
        ({"labels": {"level": "3"}}, of(labels={"level": 3}), of(labels={"level": 4})),
        ({"queued_at_least": 2}, of(load=Load(0, 2)), of(load=Load(9, 1))),
        ({"busy_at_least": 0.5}, of(load=Load(4, 0), places=8), of(load=Load(3, 0), places=8)),
        ({"busy_at_least": 0.0}, of(places=8), PLAIN),  # without a limit nobody knows how busy it is
        ({"goodput_below": 0.9}, of(goodput=0.8), of(goodput=0.9)),
        ({"rate_at_least": 50.0}, of(stream=COMING), of(stream=StreamFacts())),
    ],
)
def test_each_condition(condition: dict[str, Any], holds: Situation, fails: Situation) -> None:
    rule = StrategyRule("overload", "mine", **condition)
    assert rule.holds(holds)
    assert not rule.holds(fails)


def test_the_first_rule_decides() -> None:
    rules = (StrategyRule("latency", "mine", model="gpt-*"), *RULES)
    assert RuleStrategist(rules=rules).choose(urgent(Priority.BATCH)).reason == "mine"


def test_a_strategy_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no strategy fast; there are balanced"):
        RuleStrategist(rules=(StrategyRule("fast", "mine"),))
    with pytest.raises(ValueError, match="there is no strategy fast"):
        RuleStrategist(default="fast")


def test_the_table_has_the_named_ones_and_none_is_laxer_than_the_policy() -> None:
    assert {one.name for one in STRATEGIES} == {"latency", "balanced", "throughput", "overload", "offline"}
    assert all(one.strictness >= 0 for one in STRATEGIES)
    assert Strategy("balanced") in STRATEGIES
