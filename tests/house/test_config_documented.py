"""docs/configuration.md shows every key with its real default, and every setting of every built-in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from forebay.middleware.config import Config, parse_config
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import Registered

DOC = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
REGISTERED = [item for item in PluginManager.from_entry_points().registry if item.kind != "command"]


def test_the_yaml_block_is_the_default_config() -> None:
    block = re.search(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    assert block is not None
    shown = yaml.safe_load(block.group(1))
    assert parse_config(shown, environ={}) == Config()
    assert set(shown) == set(Config.model_fields)
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and shown[name] and "type" not in shown[name]:
            assert set(shown[name]) == set(section.model_fields), name


@pytest.mark.parametrize("item", REGISTERED, ids=lambda item: f"{item.kind}-{item.name}")
def test_every_setting_is_in_the_table(item: Registered) -> None:
    row = next((line for line in DOC.splitlines() if line.startswith("|") and f"| `{item.name}`" in line), None)
    assert row is not None, f"docs/configuration.md has no row for {item.kind} {item.name}"
    rows = "\n".join(line for line in DOC.splitlines() if line.startswith("|"))
    for name, field in item.settings.model_fields.items():
        default = field.default
        number = isinstance(default, (int, float)) and not isinstance(default, bool) and default < 1e6
        shown = f"`{name}: {default:g}`" if number else f"`{name}"
        assert shown in rows, f"{item.kind} {item.name}: {shown}"
