from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from forebay.middleware.analysis.facts import Priority, RequestFacts, Urgency
from forebay.middleware.background import TENANT
from forebay.middleware.records import Request
from forebay.plugins.classification import PrioritySettings
from forebay.policies.priority.classes import PriorityClassifier
from forebay.policies.priority.rules import MAX_VALUE, Rule
from tests.contract.classifier import FACTS, ClassifierContract

TABLE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "table.yaml").read_text(encoding="utf-8"))
RULES = {
    name: [rule.rule() for rule in PrioritySettings.model_validate({"rules": rules}).rules]
    for name, rules in TABLE["rules"].items()
}
FIELDS = ("model", "tenant", "endpoint", "stream", "batch", "deadline_s", "params", "hints", "labels")


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    request: Request
    facts: RequestFacts
    classifier: PriorityClassifier
    expected: Urgency


def read(row: dict[str, Any]) -> Case:
    left = dict(row)
    left.pop("case")
    expected = Urgency(Priority(left.pop("is")), left.pop("why"))
    rules = RULES[left.pop("rules")] if "rules" in left else []
    classifier = PriorityClassifier(rules, trust_client=left.pop("trust_client", False), background=TENANT)
    messages = ({"role": "user", "content": "x"},) * left.pop("messages", 1)
    facts = RequestFacts(
        left.pop("input_tokens", 12), 1, "question", cacheable=True, semantic=True, labels=left.pop("facts", {})
    )
    fields: dict[str, Any] = {"model": "medium", **{name: left.pop(name) for name in FIELDS if name in left}}
    assert not left, f"the table has unknown columns: {left}"
    return Case(Request(id="r", messages=messages, **fields), facts, classifier, expected)


@pytest.mark.parametrize("row", TABLE["cases"], ids=lambda row: row["case"])
def test_the_table(row: dict[str, Any]) -> None:
    case = read(row)
    assert case.classifier.classify(case.request, case.facts).urgency == case.expected


def test_the_table_is_long_enough_and_says_nothing_twice() -> None:
    names = [row["case"] for row in TABLE["cases"]]
    assert len(set(names)) == len(names) >= 60
    assert {row["is"] for row in TABLE["cases"]} == set(Priority)


class TestWithoutRules(ClassifierContract):
    @pytest.fixture
    def classifier(self) -> PriorityClassifier:
        return PriorityClassifier(background=TENANT)


class TestWithRules(ClassifierContract):
    @pytest.fixture
    def classifier(self) -> PriorityClassifier:
        return PriorityClassifier(RULES["shop"], trust_client=True, background=TENANT)


def classify(request: Request, *rules: Rule) -> Urgency | None:
    return PriorityClassifier(rules).classify(request, FACTS).urgency


def test_a_long_value_fits_no_pattern() -> None:
    rule = Rule(Priority.INTERACTIVE, user=("*",))
    request = Request("r", "small", (), labels={"user": "u" * MAX_VALUE})
    assert classify(request, rule) == Urgency(Priority.INTERACTIVE, "rule:1")
    request = Request("r", "small", (), labels={"user": "u" * (MAX_VALUE + 1)})
    assert classify(request, rule) == Urgency(Priority.STANDARD, "default")


def test_a_value_that_is_absent_fits_no_pattern() -> None:
    request = Request("r", "small", ())
    for rule in (
        Rule(Priority.BATCH, team=("*",)),
        Rule(Priority.BATCH, header={"x-app": ("*",)}),
        Rule(Priority.BATCH, metadata={"tier": ("*",)}),
        Rule(Priority.BATCH, label={"kind": ("*",)}),
        Rule(Priority.BATCH, deadline_below_s=1e9),
    ):
        assert classify(request, rule) == Urgency(Priority.STANDARD, "default")


@pytest.mark.parametrize("field", ["header.x-app", "header.x-forebay-priority"])
def test_hostile_values_cost_little(field: str) -> None:
    rules = [Rule(Priority.BATCH, header={"x-app": ("*a*a*a*a*a*a*b",)}) for _ in range(20)]
    classifier = PriorityClassifier(rules)
    requests = [Request("r", "small", (), hints={field: "a" * size}) for size in (MAX_VALUE, 10**6)]
    started = time.process_time()
    for request in requests:
        assert classifier.classify(request, FACTS).urgency == Urgency(Priority.STANDARD, "default")
    assert time.process_time() - started < 0.5


def test_the_highest_class_of_several_rules_is_not_looked_for() -> None:
    rules = (Rule(Priority.STANDARD, model=("small",)), Rule(Priority.INTERACTIVE, model=("small",)))
    assert classify(Request("r", "small", ()), *rules) == Urgency(Priority.STANDARD, "rule:1")
