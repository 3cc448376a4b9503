from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import JUDGE, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import judges
from forebay.testing import ScriptedEngine
from tests.contract.judge import pair


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    judges.register_components(made.registrar("judges"))
    return made


def build_of(tmp_path: Path, **parts: Any) -> Build:
    return Build(tmp_path, Keyring.from_secret("a secret for tests"), Telemetry(enabled=False), **parts)


def test_all_are_there(registry: Registry) -> None:
    assert registry.names(JUDGE) == ["agreement", "cascade", "equality", "llm"]


async def test_each_is_built(registry: Registry, tmp_path: Path) -> None:
    build = build_of(tmp_path, embedder=HashingEmbedder(), engine=ScriptedEngine(["no", "yes"]))
    for name in registry.names(JUDGE):
        judge = registry.build(JUDGE, name, {}, build)
        assert (await judge.compare(pair("Yes.", "No."))).same is not True


async def test_the_cascade_asks_a_model_only_where_told_to(registry: Registry, tmp_path: Path) -> None:
    kept, fresh = "The pool calms it.", "Basins still what flows in."
    for settings, calls in (({}, 0), ({"llm": {"model": "small"}}, 2)):
        engine = ScriptedEngine(["yes", "no"])
        judge = registry.build(JUDGE, "cascade", settings, build_of(tmp_path, engine=engine))
        found = await judge.compare(pair(kept, fresh))
        assert found.same is (True if calls else None)
        assert [call.model for call in engine.calls] == ["small"] * calls


@pytest.mark.parametrize(
    ("name", "settings", "missing"),
    [("agreement", {}, "embedder"), ("llm", {}, "engine"), ("cascade", {"llm": {}}, "engine")],
)
def test_what_it_needs_is_said(
    registry: Registry, tmp_path: Path, name: str, settings: dict[str, Any], missing: str
) -> None:
    with pytest.raises(ConfigError, match=f"needs an {missing}"):
        registry.build(JUDGE, name, settings, build_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("agreement", {"same_at": 0.2, "different_at": 0.3}, "below same_at"),
        ("agreement", {"same": 0.9}, "same_at"),
        ("llm", {"timeout_s": 0}, "timeout_s"),
        ("cascade", {"agreement": {"same_at": 2}}, "same_at"),
        ("equality", {"case": True}, "unknown key"),
    ],
)
def test_wrong_settings(registry: Registry, tmp_path: Path, name: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        registry.build(JUDGE, name, settings, build_of(tmp_path, embedder=HashingEmbedder(), engine=ScriptedEngine()))
