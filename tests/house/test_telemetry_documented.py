"""docs/telemetry.md names every span, attribute and metric that forebay emits."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware import semconv

DOC = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
NAMES = {name: value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_name_is_in_the_docs(name: str) -> None:
    value = NAMES[name]
    assert f"`{value}`" in DOC or f"| {value} |" in DOC or f" {value} " in DOC, f"{name}: {value}"


def test_no_name_has_two_constants() -> None:
    assert len(set(NAMES.values())) == len(NAMES)


def test_each_constant_is_used() -> None:
    root = Path(__file__).parents[2]
    used = "\n".join(path.read_text(encoding="utf-8") for path in (root / "middleware").rglob("*.py"))
    unused = [name for name in NAMES if f"semconv.{name}" not in used]
    assert unused == []
