"""The names that the configuration uses by default are registered, and what they name can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.config import Config
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.protocols import Revised
from forebay.middleware.registry import (
    ACCEPTANCE,
    ANALYZER,
    ANSWER_CHECK,
    EMBEDDER,
    ENGINE,
    EVICTION,
    EXPIRY,
    LIMIT,
    ORDERING,
    PLACEMENT,
    Build,
    Kind,
    Registry,
)
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import acceptance, analysis, embedding, engines, keeping, limit, ordering, placement

CONFIG = Config()
DEFAULTS = [
    (ANALYZER, CONFIG.analyzer.type),
    (EMBEDDER, CONFIG.embedder.type),
    (ACCEPTANCE, CONFIG.acceptance.type),
    (ORDERING, CONFIG.ordering.type),
    (LIMIT, CONFIG.limit.type),
    (PLACEMENT, CONFIG.placement.type if CONFIG.placement is not None else ""),
    (EXPIRY, CONFIG.expiry.type),
    (EVICTION, CONFIG.eviction.type),
    *((ANSWER_CHECK, spec.type) for spec in CONFIG.answer_checks),
]


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    for plugin in (acceptance, analysis, embedding, engines, keeping, limit, ordering, placement):
        plugin.register_components(made.registrar(plugin.__name__))
    return made


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring.from_secret("of a test of defaults"), Telemetry(enabled=False))


@pytest.mark.parametrize(("kind", "name"), DEFAULTS)
def test_defaults_need_no_settings(registry: Registry, build: Build, kind: Kind[Any], name: str) -> None:
    assert isinstance(registry.build(kind, name, {}, build), kind.protocol)


@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [
        (ACCEPTANCE, "threshold", {"threshold": 0.95}),
        (EMBEDDER, "hashing", {"dimension": 64}),
        (EMBEDDER, "minilm", {"threads": 2, "memo": 0}),
        (LIMIT, "fixed", {"max_inflight": 8}),
        (EXPIRY, "fixed", {"ttl_s": 60}),
        (EXPIRY, "sliding", {"idle_s": 60, "max_s": 600}),
        (EXPIRY, "volatility", {"daily": {"max_s": 7200}, "live": {"start_s": 1, "max_s": 60}, "jitter": 0}),
        (EVICTION, "lru", {"max_entries": 10, "max_bytes": 1000}),
        (ENGINE, "openai", {"base_url": "http://127.0.0.1:8000/v1", "api_key": "k", "timeout_s": 5, "model": "m"}),
    ],
)
def test_settings(registry: Registry, build: Build, kind: Kind[Any], name: str, settings: dict[str, Any]) -> None:
    assert isinstance(registry.build(kind, name, settings, build), kind.protocol)


def test_lifetimes_are_learned_unless_something_else_is_asked_for(registry: Registry, build: Build) -> None:
    assert CONFIG.expiry.type == "volatility"
    assert isinstance(registry.build(EXPIRY, CONFIG.expiry.type, {}, build), Revised)


def test_a_kind_of_answer_can_be_given_in_part(registry: Registry, build: Build) -> None:
    made = registry.build(EXPIRY, "volatility", {"daily": {"start_s": 7200}}, build)
    assert isinstance(made, Revised)
    starts = {row["kind"]: row["start_s"] for row in made.report()}
    assert starts == {"timeless": 86_400, "slow": 86_400, "daily": 7_200, "personal": 3_600}


@pytest.mark.parametrize(
    ("component", "settings", "path"),
    [
        ((ACCEPTANCE, "threshold"), {"threshold": 1.5}, "threshold"),
        ((EMBEDDER, "hashing"), {"dimension": 1}, "dimension"),
        ((LIMIT, "fixed"), {}, "max_inflight"),
        ((LIMIT, "fixed"), {"max_inflight": 0}, "max_inflight"),
        ((EXPIRY, "fixed"), {"ttl_s": float("inf")}, "ttl_s"),
        ((EXPIRY, "sliding"), {"idle_s": -1}, "idle_s"),
        ((EXPIRY, "volatility"), {"stale_share": 1}, "stale_share"),
        ((EXPIRY, "volatility"), {"slow": {"min": 1}}, "slow.min"),
        ((EXPIRY, "volatility"), {"daily": {"max_s": 60}}, "daily"),
        ((EXPIRY, "volatility"), {"daily": 60}, "daily"),
        ((EVICTION, "lru"), {"max_entries": 0}, "max_entries"),
        ((ENGINE, "openai"), {}, "base_url"),
        ((ENGINE, "openai"), {"base_url": "127.0.0.1:8000"}, "base_url"),
    ],
)
def test_wrong_settings_are_named(
    registry: Registry, build: Build, component: tuple[Kind[Any], str], settings: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.build(*component, settings, build)
    assert caught.value.path.endswith(path)
