"""Config files as people write them: only a component's setting, a key twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware.config import load_config, parse_config
from forebay.middleware.errors import ConfigError


def test_a_setting_alone_is_the_default_components() -> None:
    config = parse_config({"store": {"uri": "http://milvus:19530"}}, environ={"FOREBAY__EXPIRY__MEMORY": "60"})
    assert (config.store.type, dict(config.store.settings)) == ("milvus", {"uri": "http://milvus:19530"})
    assert (config.expiry.type, dict(config.expiry.settings)) == ("volatility", {"memory": 60})


def test_a_component_without_a_default_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"engine\.type"):
        parse_config({"engine": {"base_url": "http://localhost:8000/v1"}}, environ={})


@pytest.mark.parametrize(
    ("text", "line"), [("mode: serve\nmode: shadow\n", 2), ("cache:\n  exact: serve\n  twins: true\n  exact: off\n", 4)]
)
def test_a_key_given_twice_is_an_error(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "forebay.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"line {line}.*given twice"):
        load_config(path, environ={})
