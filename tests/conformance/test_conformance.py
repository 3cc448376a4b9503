"""What clients get with forebay is what they get without it, and a hit is the first answer again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conformance.cells import AS_MISS, Cell, fill
from tests.conformance.checker import Check, check
from tests.conformance.clients import Row, install, visit
from tests.conformance.table import COMMAND, DOCUMENT, render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.proxy import Proxy
    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(lone: Proxy, fronted: Proxy, engine: Upstream) -> list[Cell]:
    return asyncio.run(fill(lone, fronted, engine))


@pytest.fixture(scope="module")
def rows(lone: Proxy, fronted: Proxy, engine: Upstream, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder = install(tmp_path_factory.mktemp("node"))
    return asyncio.run(visit(lone, fronted, engine, folder))


@pytest.fixture(scope="module")
def checks(lone: Proxy, fronted: Proxy, engine: Upstream) -> list[Check]:
    return asyncio.run(check(lone, fronted, engine))


def said(lines: Iterable[str]) -> None:
    """Fail and say every line."""
    found = list(lines)
    assert not found, "\n".join(["", *found])


def test_cells(cells: list[Cell]) -> None:
    said(f"{cell.name} | {column}: {text}" for cell in cells for column, text in cell.differences.items())
    hit = {(cell.endpoint, cell.stream) for cell in cells if cell.feature == "plain" and cell.hit == AS_MISS}
    assert hit == {(cell.endpoint, cell.stream) for cell in cells}, "passed through, though plain"


def test_clients(rows: list[Row]) -> None:
    said(f"{row.name} | {column}: {text}" for row in rows for column, text in row.differences.items())
    assert {row.job.client for row in rows if row.hit == AS_MISS} == {row.job.client for row in rows}


def test_checker(checks: list[Check]) -> None:
    said(line for one in checks for line in one.worse)
    for one in checks:
        assert {verdict.status for verdict in one.engine.values()} <= {"passed", "skipped"}
        assert len(one.alone) > 8
        assert one.calls[2] < one.calls[0], "nothing was a hit"


def test_document(cells: list[Cell], rows: list[Row], checks: list[Check], pytestconfig: pytest.Config) -> None:
    text = render(cells, rows, checks)
    if pytestconfig.getoption("--write-tables", default=False):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.is_file(), f"write it with: {COMMAND}"
    assert DOCUMENT.read_text(encoding="utf-8") == text, f"docs/conformance.md is out of date; write it with: {COMMAND}"
