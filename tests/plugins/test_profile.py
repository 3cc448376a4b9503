from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware.analysis.facts import RequestFacts, Subject
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Request
from forebay.middleware.registry import CLASSIFIER, PREDICTOR, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import profile

TOKENIZER = Path(__file__).parents[2] / "adapters" / "embedders" / "minilm_tokenizer.json"
FACTS = RequestFacts(input_tokens=1_000, turns=1, task="question", cacheable=True, semantic=True)
REQUEST = Request("r", "small", ({"role": "user", "content": "What is the capital of France?"},))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    profile.register_components(registry.registrar("profile"))
    return registry


def build_of(folder: Path, secret: str = "a secret of these tests") -> Build:
    return Build(folder, Keyring.from_secret(secret), Telemetry(enabled=False))


def test_tokens_are_estimated_by_default(registry: Registry, tmp_path: Path) -> None:
    found = registry.build(CLASSIFIER, "profile", {}, build_of(tmp_path)).classify(REQUEST, FACTS).profile
    assert found is not None
    assert (found.input_tokens, found.counted, found.language) == (1_000, False, "en")


def test_the_tokenizer_of_a_model_is_taken(registry: Registry, tmp_path: Path) -> None:
    settings = {"tokenizers": {"small*": str(TOKENIZER)}}
    found = registry.build(CLASSIFIER, "profile", settings, build_of(tmp_path)).classify(REQUEST, FACTS).profile
    assert found is not None
    assert (found.input_tokens, found.counted) == (7 + 4, True)


@pytest.mark.parametrize("settings", [{"tokenizers": {"small*": "/no/such/file"}}, {"counted_chars": 0}])
def test_wrong_settings_are_refused_at_start(
    registry: Registry, tmp_path: Path, settings: dict[str, dict[str, str] | int]
) -> None:
    with pytest.raises(ConfigError):
        registry.build(CLASSIFIER, "profile", settings, build_of(tmp_path))


def test_fingerprints_are_keyed_with_the_secret(registry: Registry, tmp_path: Path) -> None:
    request = Request("r", "small", ({"role": "user", "content": "What is the capital of France? " * 20},))
    chains: list[tuple[int, ...]] = []
    for secret in ("a secret of these tests", "a secret of these tests", "another secret of these"):
        predictor = registry.build(PREDICTOR, "fingerprint", {}, build_of(tmp_path, secret))
        found = predictor.predict(Subject(request, FACTS)).fingerprint
        assert found is not None
        chains.append(found.prefix)
    assert chains[0]
    assert chains[0] == chains[1] != chains[2]
