"""Import rules that no linter of ours can express."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("middleware", "plugins", "adapters", "policies")
SDK_HOME = "adapters/otlp"


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything a file imports; relative ones as forebay's."""
    package = ("forebay", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def in_package(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_reader_of_imports_resolves_relative_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "adapters" / "demo" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text("from ...middleware.root import hookimpl\nimport opentelemetry.sdk.trace\nfrom . import y\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert list(imported(file)) == [
        "forebay.middleware.root.hookimpl",
        "opentelemetry.sdk.trace",
        "forebay.adapters.demo.y",
    ]


def test_nothing_imports_the_face_by_its_folder() -> None:
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in sources(*FOLDERS, "tests", "examples", "benchmarks")
        for name in imported(path)
        if in_package(name, "forebay.middleware.root")
    ]
    assert wrong == []


def test_only_the_exporter_needs_the_telemetry_sdk() -> None:
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in sources(*FOLDERS)
        if not str(path.relative_to(ROOT)).startswith(SDK_HOME)
        for name in imported(path)
        if in_package(name, "opentelemetry.sdk") or in_package(name, "opentelemetry.exporter")
    ]
    assert wrong == []


def test_the_face_shows_middleware_only() -> None:
    wrong = [
        (path.name, name)
        for path in sources("middleware/root")
        for name in imported(path)
        if in_package(name, "forebay") and not in_package(name, "forebay.middleware")
    ]
    assert wrong == []


def test_each_module_of_the_face_is_linked_for_type_checkers() -> None:
    links = {link.name for link in (ROOT / ".typing/forebay").iterdir()}
    assert links == {path.name for path in sources("middleware/root")} | set(FOLDERS)
    for link in (ROOT / ".typing/forebay").iterdir():
        assert link.is_symlink()
        assert link.exists()


def test_every_name_of_the_face_loads_from_its_only_home() -> None:
    code = (
        "import sys, forebay\n"
        "for name in forebay.__all__:\n"
        "    value = getattr(forebay, name)\n"
        "    assert not getattr(value, '__module__', '').startswith('forebay.middleware.root'), name\n"
        "assert not [name for name in sys.modules if name.startswith('forebay.middleware.root')]\n"
        "print(len(forebay.__all__))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


def test_importing_forebay_is_quick_and_loads_nothing_heavy() -> None:
    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    assert statistics.median(seconds("import forebay") for _ in range(5)) < 0.4
    heavy = "litellm pymilvus onnxruntime numpy pydantic typer opentelemetry.sdk".split()
    subprocess.run(
        [sys.executable, "-c", f"import sys, forebay; sys.exit(bool(set(sys.modules) & set({heavy!r})))"], check=True
    )
