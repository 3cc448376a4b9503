"""Each import contract of pyproject.toml holds for the tree, and breaks when a file breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("middleware", "plugins", "adapters", "policies")

# contract id → (file that breaks it, the line that does)
VIOLATIONS = [
    ("layers", "policies/acceptance/scratch.py", "from ...adapters import demo"),
    ("layers", "adapters/memory/scratch.py", "from ...policies import eviction"),
    ("layers", "middleware/scratch.py", "from ..adapters import memory"),
    ("plugins", "adapters/memory/scratch.py", "from ... import plugins"),
    ("plugins", "middleware/cli/scratch.py", "from ...plugins import stores"),
    ("face", "middleware/root/__main__.py", "from forebay.policies import eviction"),
    ("face", "middleware/root/__init__.py", "from forebay.adapters import memory"),
    ("one-identity", "adapters/memory/scratch.py", "from ...middleware.root import __main__"),
    ("one-identity", "plugins/scratch.py", "from ..middleware import root"),
    ("pure-policies", "policies/eviction/scratch.py", "from ...middleware.config import Config"),
    ("pure-policies", "policies/eviction/scratch.py", "from ...middleware.registry import Settings"),
    ("light-middleware", "middleware/scratch.py", "import numpy"),
    ("light-middleware", "middleware/cli/scratch.py", "import litellm.router"),
]


def contracts() -> dict[str, str]:
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in config["tool"]["importlinter"]["contracts"]}


def lint(tree: Path, *only: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    for contract in only:
        command += ["--contract", contract]
    result = subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / ".typing"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    result.stdout = " ".join(re.sub(r"\x1b\[[\d;]*m", "", result.stdout).split())  # it colours pipes, too
    return result


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code that a test may break."""
    for folder in (*FOLDERS, ".typing"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.gguf")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {len(contracts())} kept, 0 broken" in result.stdout


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_violation_breaks_the_contract(tree: Path, contract: str, file: str, line: str) -> None:
    with (tree / file).open("a", encoding="utf-8") as out:
        out.write(f"\n{line}\n")
    result = lint(tree, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contracts()[contract]} BROKEN" in result.stdout


def test_every_contract_has_a_violation() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(contracts())
