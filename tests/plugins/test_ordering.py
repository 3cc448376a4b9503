from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.admission.protocols import Accounting
from forebay.middleware.admission.tickets import Objective
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import ORDERING, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import ordering
from tests.contract.ordering import drained, ticket


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    ordering.register_components(made.registrar("ordering"))
    return made


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("a secret for tests"), Telemetry(enabled=False))


BATCH = ticket("batch", 0.0, tenant="b", output_tokens=1.0, priority=Priority.BATCH, prefix=(1, 2))
LONG = ticket("long", 1.0, tenant="a", output_tokens=900.0, objective=Objective(ttft_s=500.0), prefix=(1,))
SHORT = ticket("short", 2.0, tenant="c", output_tokens=9.0)


@pytest.mark.parametrize(
    ("name", "settings", "order"),
    [
        ("fcfs", {}, ["batch", "long", "short"]),
        ("shortest_first", {}, ["batch", "short", "long"]),
        ("shortest_first", {"every": 1, "patience_s": 0}, ["batch", "long", "short"]),
        ("deadline", {}, ["long", "batch", "short"]),
        ("fair", {}, ["batch", "long", "short"]),
        ("prefix", {"blocks": 9}, ["batch", "long", "short"]),
        ("composed", {}, ["long", "short", "batch"]),
        ("composed", {"guard": 1, "patience_s": {"batch": 50}}, ["batch", "long", "short"]),
    ],
)
def test_settings_reach_the_ordering(
    registry: Registry, build: Build, name: str, settings: dict[str, Any], order: list[str]
) -> None:
    made = registry.build(ORDERING, name, settings, build)
    for one in (BATCH, LONG, SHORT):
        made.push(one)
    assert drained(made, now_s=100.0) == order


def test_weights_reach_the_accounts(registry: Registry, build: Build) -> None:
    for name, more in (("fair", {}), ("composed", {"credit_tokens": 0})):
        made = registry.build(ORDERING, name, {"weights": {"team-*": 3.0}, **more}, build)
        assert isinstance(made, Accounting)
        for number in range(8):
            made.push(ticket(f"t{number}", 0.0, tenant="team-a", output_tokens=10.0))
            made.push(ticket(f"o{number}", 0.0, tenant="other", output_tokens=10.0))
        assert [one[0] for one in drained(made, now_s=1.0)][:8].count("t") == 6


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("shortest_first", {"every": 0}),
        ("fair", {"weights": {"a": 0}}),
        ("prefix", {"window": 0}),
        ("composed", {"patience_s": {"urgent": 1}}),
        ("composed", {"credit_tokens": -1}),
    ],
)
def test_bad_settings_are_refused(registry: Registry, build: Build, name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        registry.build(ORDERING, name, settings, build)
