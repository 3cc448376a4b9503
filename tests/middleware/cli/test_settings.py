from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from forebay.middleware.cli.settings import MASK, masked

Run = Callable[..., Any]
Installed = Callable[[str, str | None], None]


def test_check_says_that_all_is_right(forebay: Run, config: Path) -> None:
    outcome = forebay("config", "check")
    assert outcome.status == 0
    assert "hashing" in outcome.out
    assert "forebay.yaml: right" in outcome.out


def test_check_runs_no_factory_and_touches_nothing(forebay: Run, config: Path, folder: Path) -> None:
    assert forebay("config", "check").status == 0
    assert [path.name for path in folder.iterdir()] == ["forebay.yaml"]


def test_check_fails_where_a_package_is_missing(forebay: Run, config: Path, installed: Installed) -> None:
    installed("pymilvus", None)
    outcome = forebay("config", "check")
    assert outcome.status == 2
    assert "pip install 'forebay[milvus]'" in outcome.out
    assert "not installed" in outcome.err


def test_show_fills_in_defaults_and_masks_secrets(forebay: Run, config: Path) -> None:
    config.write_text(
        "secret: 0123456789abcdef-secret\n"
        "store: {type: milvus, uri: 'http://me:hidden-pass@host:19530', token: hidden-token}\n"
        "telemetry: {exporter: {type: otlp, headers: {x-api-key: hidden-key}}}\n",
        encoding="utf-8",
    )
    outcome = forebay("config", "show")
    assert outcome.status == 0
    shown = yaml.safe_load(outcome.out)
    assert shown["secret"] == MASK
    assert shown["store"]["token"] == MASK
    assert shown["store"]["uri"] == f"http://{MASK}@host:19530"
    assert shown["store"]["collection"] == "forebay_v2"
    assert shown["telemetry"]["exporter"]["headers"] == {"x-api-key": MASK}
    assert shown["answer_checks"] == [{"type": "clean_end"}]
    assert "hidden" not in outcome.out


def test_masked_keeps_what_is_no_secret() -> None:
    value = {"a": [1, None, "x"], "api_key": "k", "token": "", "nested": {"password": "p", "count": 2}}
    assert masked(value) == {
        "a": [1, None, "x"],
        "api_key": MASK,
        "token": "",
        "nested": {"password": MASK, "count": 2},
    }


def test_plugins_lists_kinds_and_marks_the_chosen(forebay: Run, config: Path) -> None:
    outcome = forebay("plugins")
    assert outcome.status == 0
    line = next(line for line in outcome.out.splitlines() if "hashing" in line)
    assert line.startswith("*")
    assert not next(line for line in outcome.out.splitlines() if "minilm" in line).startswith("*")


def test_plugins_as_json(forebay: Run, config: Path, installed: Installed) -> None:
    installed("onnxruntime", None)
    found = json.loads(forebay("plugins", "--json").out)
    by_name = {(each["kind"], each["name"]): each for each in found["components"]}
    assert by_name["embedder", "hashing"]["chosen"] is True
    assert by_name["embedder", "minilm"]["missing"] == ["onnxruntime"]
    assert by_name["command", "demo"]["plugin"] == "demo"
    assert {"name", "distribution", "version"} == set(found["plugins"][0])
