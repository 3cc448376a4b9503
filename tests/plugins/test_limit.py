from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.admission.protocols import Limit
from forebay.middleware.admission.tickets import Load, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import LIMIT, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import limit as plugin
from forebay.policies.limit.goodput import GoodputLimit


def build(name: str, settings: dict[str, Any], folder: Path) -> Limit:
    registry = Registry()
    plugin.register_components(registry.registrar("limit"))
    made = Build(folder, Keyring.from_secret("of a test of limits"), Telemetry(enabled=False))
    return registry.build(LIMIT, name, settings, made)


@pytest.mark.parametrize(
    ("name", "settings", "inside"),
    [("none", {}, None), ("fixed", {"max_inflight": 3}, 3), ("goodput", {"max_inflight": 5}, 5), ("goodput", {}, 128)],
)
def test_limits_by_name(name: str, settings: dict[str, Any], inside: int | None, tmp_path: Path) -> None:
    made = build(name, settings, tmp_path)
    admitted = sum(made.admits(Ticket("a", "t", 0.0), Load(number, 0)) for number in range(1_000))
    assert admitted == (1_000 if inside is None else inside)


def test_tokens(tmp_path: Path) -> None:
    made = build("tokens", {"kv_tokens": 1_000, "share": 0.5}, tmp_path)
    assert made.admits(Ticket("a", "t", 0.0, 100), Load(1, 0, reserved_tokens=400.0))
    assert not made.admits(Ticket("a", "t", 0.0, 101), Load(1, 0, reserved_tokens=400.0))


def test_the_reserve_can_be_set(tmp_path: Path) -> None:
    made = build("goodput", {"max_inflight": 10, "reserve": {"batch": 0.5}}, tmp_path)
    assert isinstance(made, GoodputLimit)
    batch, urgent = Ticket("a", "t", 0.0, priority=Priority.BATCH), {Priority.INTERACTIVE: 1}
    assert not made.admits(batch, Load(5, 0, classes=urgent))
    assert made.admits(batch, Load(9, 0))
    assert made.admits(Ticket("a", "t", 0.0), Load(9, 0, classes=urgent))


@pytest.mark.parametrize(
    ("name", "settings"),
    [("fixed", {}), ("tokens", {}), ("goodput", {"max_inflight": 0}), ("goodput", {"reserve": {"nobody": 0.1}})],
)
def test_what_cannot_be_is_refused(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(name, settings, tmp_path)
