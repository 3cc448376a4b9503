from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from forebay.middleware.cli import components, doctor
from forebay.middleware.cli.app import app

CONFIG = """
state_dir: {folder}/state
embedder: {{type: hashing, dimension: 32}}
store: {{type: milvus}}
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no configuration from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOREBAY_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    """./forebay.yaml: no model to load, a Milvus Lite file."""
    path = folder / "forebay.yaml"
    path.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | None], None]:
    """Lets a distribution look as if it were installed in this version, or not at all."""
    versions: dict[str, str | None] = {}
    real = components.installed

    def look(name: str) -> str | None:
        return versions[name] if name in versions else real(name)

    monkeypatch.setattr(components, "installed", look)
    monkeypatch.setattr(doctor, "installed", look)
    return versions.__setitem__


@pytest.fixture
def forebay(folder: Path) -> Callable[..., Outcome]:
    """Runs `forebay` with these words."""

    def run(*words: str, answer: str = "") -> Outcome:
        result = CliRunner().invoke(app, list(words), input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run
