from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware.analysis.facts import Length, RequestFacts, Subject
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Request
from forebay.middleware.registry import PREDICTOR, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import work


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    work.register_components(made.registrar("work"))
    return made


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("a secret for tests"), Telemetry(enabled=False))


def test_settings_reach_the_predictor(registry: Registry, build: Build) -> None:
    settings = {
        "engines": {"llama-*": {"max_num_seqs": 64, "kv_tokens": 40_000, "block_size": 32}},
        "prices": {"llama-*": {"input": 1, "output": 2}},
    }
    predictor = registry.build(PREDICTOR, "work", settings, build)
    facts = RequestFacts(100, 1, "other", False, False, length=Length(50, 60))
    found = predictor.predict(Subject(Request("r", "llama-8b", ()), facts)).work
    assert found is not None
    assert found.kv_blocks == 5
    assert found.usd == pytest.approx(200 / 1e6)
    other = predictor.predict(Subject(Request("r", "gpt", ()), facts)).work
    assert other is not None
    assert other.kv_blocks == 10
    assert other.usd is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"engines": {"m": {"max_num_seqs": 0}}},
        {"engines": {"m": {"max_num_seqs": 4096}}},
        {"prices": {"m": {"input": -1, "output": 0}}},
        {"prices": {"m": {"input": 1}}},
        {"pricing": {}},
    ],
)
def test_settings_that_cannot_be_are_refused(registry: Registry, build: Build, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        registry.build(PREDICTOR, "work", wrong, build)
