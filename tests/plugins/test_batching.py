"""The batch former that the config names."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import BATCH_FORMER, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import batching
from forebay.policies.batching.former import CurveFormer
from tests.contract.batch_former import member


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    batching.register_components(registry.registrar("batching"))
    return registry


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("a secret for tests"), Telemetry(enabled=False))


def test_curve_is_built_with_its_budgets(registry: Registry, build: Build) -> None:
    former = registry.build(BATCH_FORMER, "curve", {"max_batch_size": 2, "max_tokens": 30}, build)
    assert isinstance(former, CurveFormer)
    for name in "abc":
        former.push(member(name, tokens=20))
    assert [each.id for each in former.form(0.0).members] == ["a"]


def test_a_wrong_setting_names_itself(registry: Registry, build: Build) -> None:
    with pytest.raises(ConfigError, match="max_batch_size"):
        registry.build(BATCH_FORMER, "curve", {"max_batch": 2}, build)
