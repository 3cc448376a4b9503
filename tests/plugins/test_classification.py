from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.analysis.facts import Priority, Urgency, Volatility
from forebay.middleware.background import TENANT
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Request
from forebay.middleware.registry import CLASSIFIER, EXPIRY, PREDICTOR, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import classification, difficulty, keeping
from forebay.policies.difficulty.logistic import LogisticDifficulty
from tests.contract.classifier import FACTS
from tests.contract.entries import make_answer

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.middleware.analysis.protocols import Classifier

REQUEST = Request("r", "small", ({"role": "user", "content": "What is the price of bitcoin?"},))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for name, plugin in (("classification", classification), ("difficulty", difficulty), ("keeping", keeping)):
        plugin.register_components(registry.registrar(name))
    return registry


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("of a test"), Telemetry())


def priority(registry: Registry, build: Build, settings: dict[str, Any]) -> Classifier:
    return registry.build(CLASSIFIER, "priority", settings, build, path="classifiers.0")


def test_rules_are_read_from_the_config(registry: Registry, build: Build) -> None:
    made = priority(
        registry, build, {"rules": [{"header": {"X-App": "nightly-*"}, "priority": "batch", "name": "jobs"}]}
    )
    request = replace(REQUEST, hints={"header.x-app": "nightly-4"})
    assert made.classify(request, FACTS).urgency == Urgency(Priority.BATCH, "rule:jobs")
    assert made.classify(REQUEST, FACTS).urgency == Urgency(Priority.STANDARD, "default")


def test_the_background_caller_is_known(registry: Registry, build: Build) -> None:
    facts = priority(registry, build, {}).classify(replace(REQUEST, tenant=TENANT), FACTS)
    assert facts.priority is Priority.BACKGROUND


@pytest.mark.parametrize(
    ("rule", "path", "says"),
    [
        ({"model": "x"}, "rules.0.priority", "Field required"),
        ({"priority": "urgent"}, "rules.0.priority", "'interactive'"),
        ({"priority": "batch", "modle": "x"}, "rules.0.modle", "unknown key 'modle'"),
        ({"priority": "batch", "model": ""}, "rules.0.model.0", "at least 1 character"),
        ({"priority": "batch", "model": ["a" * 513]}, "rules.0.model.0", "at most 512"),
        ({"priority": "batch", "header": {"x-app": []}}, "rules.0.header", "give a name and a pattern"),
        ({"priority": "batch", "metadata": {"": "x"}}, "rules.0.metadata", "give a name and a pattern"),
        ({"priority": "batch", "deadline_below_s": 0}, "rules.0.deadline_below_s", "greater than 0"),
        ({"priority": "batch", "name": "Two words"}, "rules.0.name", "pattern"),
        ({"priority": "batch", "min_input_tokens": 9, "max_input_tokens": 3}, "rules.0", "swap them"),
    ],
)
def test_a_wrong_rule_is_refused(registry: Registry, build: Build, rule: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        priority(registry, build, {"rules": [rule]})
    assert caught.value.path == f"classifiers.0.{path}"
    assert says in caught.value.problem


def test_a_rule_that_hides_the_others_is_refused(registry: Registry, build: Build) -> None:
    every = {"priority": "batch"}
    priority(registry, build, {"rules": [{"model": "x", "priority": "interactive"}, every]})
    with pytest.raises(ConfigError, match="rule 1 matches every request: put it last"):
        priority(registry, build, {"rules": [every, {"model": "x", "priority": "interactive"}]})


def test_what_is_stale_at_once_is_neither_kept_nor_given(registry: Registry, build: Build) -> None:
    facts = registry.build(CLASSIFIER, "volatility", {}, build).classify(REQUEST, FACTS)
    assert facts.staleness is not None
    assert facts.staleness.volatility is Volatility.LIVE
    assert (facts.cacheable, facts.semantic, facts.reason) == (False, False, "volatile")
    expiry = registry.build(EXPIRY, "fixed", {"ttl_s": 60, "daily_s": 7}, build)
    assert expiry.lifetime(REQUEST, facts, make_answer()).fresh_s == 0.0
    assert expiry.lifetime(REQUEST, FACTS, make_answer()).fresh_s == 60.0


def test_the_predictor_is_built_by_name(registry: Registry, build: Build) -> None:
    assert isinstance(registry.build(PREDICTOR, "difficulty", {}, build), LogisticDifficulty)
