from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import PREDICTOR, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins.length import register_components
from forebay.policies.length.predictor import LengthPredictor
from tests.contract.predictor import subject

if TYPE_CHECKING:
    from pathlib import Path


def built(tmp_path: Path, **settings: Any) -> Any:
    registry = Registry()
    register_components(registry.registrar("length"))
    return registry.build(PREDICTOR, "length", settings, Build(tmp_path, Keyring.from_secret("of a test"), Telemetry()))


def test_it_is_built_by_name(tmp_path: Path) -> None:
    assert isinstance(built(tmp_path), LengthPredictor)


def test_the_typical_length_is_what_it_says_first(tmp_path: Path) -> None:
    asked = subject(0)
    usual, longer = (built(tmp_path, **settings).predict(asked).length for settings in ({}, {"typical_tokens": 2500}))
    assert longer.median == pytest.approx(10 * usual.median, rel=0.02)
    assert usual.confidence == longer.confidence == 0.0


@pytest.mark.parametrize("settings", [{"typical_tokens": 0}, {"typical_tokens": "inf"}, {"typical": 3}])
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        built(tmp_path, **settings)
