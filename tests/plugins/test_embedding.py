"""What the YAML can say of an embedder reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.embedders.fastembed import FastembedEmbedder
from forebay.adapters.embedders.litellm import LiteLLMEmbedder
from forebay.adapters.embedders.onnx_folder import OnnxFolderEmbedder
from forebay.adapters.embedders.openai_http import OpenAIHTTPEmbedder
from forebay.middleware.errors import ConfigError, MissingExtraError
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import Component, Embedder
from forebay.middleware.registry import EMBEDDER, Build
from forebay.middleware.telemetry import Telemetry
from tests.adapters.embedders.test_onnx_folder import facts
from tests.adapters.embedders.tiny_onnx import write_table


def build(kind: str, **settings: Any) -> Embedder:
    where = Build(Path(), Keyring.from_secret("a secret that is long enough"), Telemetry(enabled=False))
    return PluginManager.from_entry_points().registry.build(EMBEDDER, kind, settings, where)


def test_a_folder(tmp_path: Path) -> None:
    write_table(tmp_path / "model.onnx")
    facts(tmp_path, dimension=8)
    made = build("onnx", folder=str(tmp_path))
    assert isinstance(made, OnnxFolderEmbedder)
    assert made.dimension == 8
    others: list[dict[str, Any]] = [{"prefix": "query: "}, {"pooling": "cls"}, {"max_tokens": 64}, {"dimension": 16}]
    assert len({build("onnx", folder=str(tmp_path), **each).model_id for each in others} | {made.model_id}) == 5


def test_fastembed(tmp_path: Path) -> None:
    made = build("fastembed", cache_dir=str(tmp_path))
    assert isinstance(made, FastembedEmbedder)
    assert made.dimension == 384
    assert build("fastembed", folder=str(tmp_path)).model_id != made.model_id


@pytest.mark.parametrize(
    ("kind", "made", "where"),
    [
        ("openai", OpenAIHTTPEmbedder, {"base_url": "http://one.example/v1", "api_key": "sk-hidden"}),
        ("litellm", LiteLLMEmbedder, {"api_base": "http://one.example/v1", "api_key": "sk-hidden"}),
        ("litellm", LiteLLMEmbedder, {}),
    ],
)
def test_remote_ones(kind: str, made: type[Embedder], where: dict[str, Any]) -> None:
    embedder = build(kind, model="text-embedding-3-small", **where)
    assert isinstance(embedder, made)
    assert isinstance(embedder, Component)
    assert embedder.model_id == f"{kind}/text-embedding-3-small/1536"
    assert build(kind, model="my-model", dimension=12, **where).dimension == 12
    assert build(kind, model="text-embedding-3-small", prefix="query: ", **where).model_id != embedder.model_id
    assert build(kind, model="text-embedding-3-small", max_chars=9, **where).model_id != embedder.model_id
    with pytest.raises(ConfigError, match=r"embedder\.dimension: .*say it") as caught:
        build(kind, model="my-model", **where)
    assert "sk-hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("openai", {"model": "m", "base_url": "one.example/v1"}, "base_url"),
        ("openai", {"base_url": "http://one.example/v1"}, "model"),
        ("openai", {"model": "m", "base_url": "http://one.example", "timeout_s": 0}, "timeout_s"),
        ("litellm", {"model": "m", "dimension": 1}, "dimension"),
        ("onnx", {}, "folder"),
        ("onnx", {"folder": "x", "pooling": "max"}, "pooling"),
        ("fastembed", {"modle": "x"}, "Did you mean 'model'"),
    ],
)
def test_wrong_settings_are_named(kind: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(kind, **settings)


def test_a_missing_package_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.adapters.embedders.onnx_folder.REQUIRES", ("numpy", "no_such_package"))
    with pytest.raises(MissingExtraError, match=r"'no_such_package'.*forebay\[embed\]"):
        build("onnx", folder="x")
