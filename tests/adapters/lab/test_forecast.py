from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from forebay.adapters.lab.forecast import run
from forebay.adapters.lab.traces import TraceError
from forebay.middleware.errors import ConfigError
from forebay.plugins.forecast import tools

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW = {"trace", "series", "window_s", "method", "n", "rmse", "rmse_over_naive", "coverage_80"}
MEMBERS = ["naive", "decay 0.3", "decay 2", "decay 5", "decay 20", "ar"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    draw = random.Random(1)
    now_s, lines = 0.0, list[str]()
    while now_s < 300.0:
        lines.append(json.dumps({"ts_s": now_s}))
        now_s += draw.expovariate(5.0)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def lab_run(*words: object) -> tuple[int, str]:
    out = io.StringIO()
    status = run(tools(), [*map(str, words)], Console(file=out, width=100))
    return status, out.getvalue()


def rows_in(path: Path) -> Sequence[dict[str, Any]]:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report.keys() == {"command", "version", "machine", "rows"}
    assert report["command"] == "lab forecast"
    rows: Sequence[dict[str, Any]] = report["rows"]
    return rows


def test_the_report(trace: Path, tmp_path: Path) -> None:
    status, shown = lab_run(trace, "--json", tmp_path / "out.json")
    assert status == 0
    rows = rows_in(tmp_path / "out.json")
    assert all(row.keys() == ROW for row in rows)
    assert {row["trace"] for row in rows} == {"mine.jsonl"}
    assert [row["method"] for row in rows if row["window_s"] == 1.0] == ["bank", *MEMBERS]
    found = {row["window_s"]: row for row in rows if row["method"] == "bank"}
    assert [row["n"] for row in found.values()] == [298, 28, 3]
    # a Poisson process: the mean is best, and naive is wrong by twice the variance
    assert found[1.0]["rmse_over_naive"] < 0.8
    assert found[1.0]["coverage_80"] == pytest.approx(0.8, abs=0.07)
    naive = [row for row in rows if row["method"] == "naive"]
    assert all(row["rmse_over_naive"] == 1.0 and row["coverage_80"] is None for row in naive)
    assert "mine.jsonl" in shown
    assert f"{found[1.0]['rmse_over_naive']:.3f}" in shown


def test_the_bank_without_each_member(trace: Path, tmp_path: Path) -> None:
    lab_run(trace, "--windows", "5", "--ablation", "--json", tmp_path / "out.json")
    methods = [row["method"] for row in rows_in(tmp_path / "out.json")]
    assert methods == ["bank", *MEMBERS, *(f"without {name}" for name in MEMBERS[1:])]


def test_a_table_of_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    lines = [f"{client},{600 * at},{client + at % 3}" for at in range(12) for client in range(3)]
    path.write_text("\n".join(["client,ts_s,rate_rps", *lines]), encoding="utf-8")
    lab_run(path, "--clients", "2", "--json", tmp_path / "out.json")
    rows = [row for row in rows_in(tmp_path / "out.json") if row["method"] == "bank"]
    assert [(row["series"], row["window_s"], row["n"]) for row in rows] == [
        ("all", 600.0, 11),
        ("2", 600.0, 11),
        ("1", 600.0, 11),
    ]


def test_the_picture(trace: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lab_run(trace, "--windows", "10", "--plot", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_trace_whose_windows_are_all_alike_has_no_ratio(tmp_path: Path) -> None:
    path = tmp_path / "even.csv"
    path.write_text("ts_s\n" + "\n".join(str(at / 4) for at in range(81)), encoding="utf-8")
    lab_run(path, "--windows", "1", "--json", tmp_path / "out.json")
    assert {row["rmse_over_naive"] for row in rows_in(tmp_path / "out.json")} == {None}


@pytest.mark.parametrize("windows", ["", "0", "-1", "1,x", "inf", "nan"])
def test_windows_that_cannot_be(trace: Path, windows: str) -> None:
    with pytest.raises(ConfigError, match="--windows"):
        lab_run(trace, "--windows=" + windows)


def test_what_does_not_fit_is_said(trace: Path) -> None:
    with pytest.raises(TraceError, match="too short"):
        lab_run(trace, "--windows", "200")
    with pytest.raises(TraceError, match="longer --windows"):
        lab_run(trace, "--windows", "0.0001")
    with pytest.raises(ConfigError, match="--clients"):
        lab_run(trace, "--clients", "-1")


def test_usage() -> None:
    assert lab_run()[0] == 2
    assert lab_run("--help")[0] == 0
