from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.analysis.stream import Arrival, StreamFacts
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import STREAM, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import forecast


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    forecast.register_components(made.registrar("forecast"))
    return made


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("a secret for tests"), Telemetry(enabled=False))


def test_it_is_built_as_set(registry: Registry, build: Build) -> None:
    for settings, horizons in (({}, [1.0, 10.0, 60.0]), ({"horizons_s": [5], "tenants": 0}, [5.0])):
        analyzer = registry.build(STREAM, "forecast", settings, build)
        analyzer.arrived(Arrival(0.0))
        assert [*analyzer.read(1.0, StreamFacts()).forecasts] == horizons


@pytest.mark.parametrize(
    "settings",
    [{"horizons_s": []}, {"horizons_s": [0]}, {"horizons_s": ["x"]}, {"tenants": -1}, {"tenants": 1e6}, {"horizon": 1}],
)
def test_wrong_settings(registry: Registry, build: Build, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"horizon|tenants"):
        registry.build(STREAM, "forecast", settings, build)
