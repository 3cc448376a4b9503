from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import RequestFacts
from forebay.middleware.analysis.strategies import Choice, Situation
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Request
from forebay.middleware.registry import STRATEGY, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import strategy

PLAIN = Situation(Request("1", "gpt-4o", []), RequestFacts(9, 1, "question", cacheable=True, semantic=True), Load(0, 0))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("of a test of strategies"), Telemetry(enabled=False))


def choose(settings: dict[str, Any], build: Build) -> Choice:
    registry = Registry()
    strategy.register_components(registry.registrar("strategy"))
    return registry.build(STRATEGY, "rules", settings, build).choose(PLAIN)


def test_the_operators_rules_come_first(build: Build) -> None:
    own = {"rules": [{"use": "overload", "model": "gpt-*"}]}
    assert choose(own, build).reason == "rule_0"
    assert choose({"rules": [{"use": "overload", "model": "gpt-*", "name": "busy"}]}, build).reason == "busy"


def test_strategies_can_be_changed_and_added(build: Build) -> None:
    settings = {"strategies": {"balanced": {"strictness": 0.97}, "mine": {"audits": 0}}, "default": "mine"}
    choice = choose(settings, build)
    assert (choice.strategy.name, choice.strategy.audits) == ("mine", 0.0)
    assert choose({"strategies": {"balanced": {"strictness": 0.97}}}, build).strategy.strictness == 0.97


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"default": "fast"}, "there is no strategy fast"),
        ({"rules": [{"use": "fast"}]}, "there is no strategy fast"),
        ({"rules": [{"use": "latency", "priority": ["urgent"]}]}, "priority"),
        ({"strategies": {"mine": {"strictness": 3}}}, "strictness"),
        ({"rules": [{"use": "latency", "modle": "x"}]}, "modle"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, Any], says: str, build: Build) -> None:
    with pytest.raises(ConfigError, match=says):
        choose(settings, build)
