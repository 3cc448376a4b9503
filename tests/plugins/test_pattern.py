"""The plugin of the stream's pattern and of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.analysis.protocols import Predictor, StreamAnalyzer
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import PREDICTOR, STREAM, Build
from forebay.middleware.telemetry import Telemetry

if TYPE_CHECKING:
    from pathlib import Path


def built(folder: Path, kind: Any, name: str, **settings: Any) -> object:
    build = Build(folder, Keyring.from_secret("a secret of some length"), Telemetry(enabled=False))
    return PluginManager.from_entry_points().registry.build(kind, name, settings, build)


def test_both_are_built_with_their_defaults(tmp_path: Path) -> None:
    assert isinstance(built(tmp_path, STREAM, "pattern"), StreamAnalyzer)
    assert isinstance(built(tmp_path, PREDICTOR, "neighbours"), Predictor)


def test_all_settings_are_taken(tmp_path: Path) -> None:
    built(tmp_path, STREAM, "pattern", window_s=60, most=100, vectors=50, similar=0.9)
    built(tmp_path, PREDICTOR, "neighbours", window_s=60, most=100, similar=0.9, clusters=8, alike=0.5)


@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [(STREAM, "pattern", {"similar": 2}), (STREAM, "pattern", {"most": 0}), (PREDICTOR, "neighbours", {"alike": 0})],
)
def test_wrong_settings_are_refused(tmp_path: Path, kind: Any, name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        built(tmp_path, kind, name, **settings)
