from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.adapters.lab import acceptance as lab_acceptance
from forebay.adapters.lab.collisions import collisions, harmless
from forebay.adapters.lab.command import run
from forebay.adapters.lab.tools import Tools
from forebay.middleware.errors import ForebayError
from forebay.plugins import acceptance, lab
from forebay.policies.acceptance.model import parse_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW = {
    "file",
    "category",
    "policy",
    "n",
    "positives",
    "auc",
    "tpr_at_fpr_01",
    "tpr_at_fpr_02",
    "tpr_at_fpr_05",
    "served_tpr",
    "served_fpr",
    "wrong_hit_rate",
}


def tools() -> Tools:
    """The lab's own, without the model: words hashed."""
    made = lab.tools()
    return Tools(HashingEmbedder, made.reader, made.contenders, made.evidence, made.streamed)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"a": pair.a, "b": pair.b, "same_answer": pair.same, "category": pair.category}
        for pair in collisions(80) + harmless(80)
    ]
    before = [{"role": "user", "content": "Is the pool open?"}, {"role": "assistant", "content": "Yes, until nine."}]
    asked = [{"role": "user", "content": "How do I reset my password?"}]
    lines.append({"a": before + asked, "b": asked, "same_answer": True, "category": "talk"})
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def lab_run(*words: object) -> tuple[int, str]:
    out = io.StringIO()
    status = lab_acceptance.run(tools(), [*map(str, words)], Console(file=out, width=100))
    return status, out.getvalue()


def rows_in(path: Path) -> Sequence[dict[str, Any]]:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report.keys() == {"command", "version", "machine", "rows"}
    assert report["command"] == "lab acceptance"
    rows: Sequence[dict[str, Any]] = report["rows"]
    return rows


def test_the_report(pairs: Path, tmp_path: Path) -> None:
    status, shown = lab_run(pairs, "--json", tmp_path / "out.json", "--mistakes", 2)
    assert status == 0
    rows = rows_in(tmp_path / "out.json")
    assert all(row.keys() == ROW for row in rows)
    assert {row["file"] for row in rows} == {"pairs.jsonl"}
    whole = {row["policy"]: row for row in rows if row["category"] == "all"}
    assert [name.split()[0] for name in whole] == ["calibrated", "threshold", "cosine"]
    assert whole["calibrated"]["n"] == 161
    assert whole["calibrated"]["positives"] == 81
    assert whole["calibrated"]["served_fpr"] <= 0.05
    assert {"number", "suffix", "benign", "talk"} < {row["category"] for row in rows}
    assert "calibrated" in shown
    assert "refused, the least sure first" in shown


def test_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    asked = [f"How do I {verb} my {thing}?" for verb in ("reset", "change") for thing in ("password", "address")]
    lines = [f"{text},{at % 4}" for at, text in enumerate(asked * 3)]
    path.write_text("\n".join(["text,category", *lines]), encoding="utf-8")
    status, shown = lab_run("--stream", path, "--delta", 0.05, "--json", tmp_path / "out.json")
    assert status == 0
    rows = {row["policy"]: row for row in rows_in(tmp_path / "out.json")}
    assert list(rows) == ["calibrated", "verified 0.05", "threshold"]
    assert rows["threshold"].items() >= {"requests": 12, "hits": 8, "wrong_hits": 0, "bound_held": None}.items()
    assert rows["verified 0.05"].items() >= {"delta": 0.05, "hits": 0, "bound_held": True}.items()
    assert rows["verified 0.05"]["audits"] > 0
    assert "verified 0.05" in shown


@pytest.mark.parametrize("words", [(), ("--delta", "2", "x.jsonl")])
def test_what_cannot_be_done_is_said(words: tuple[str, ...]) -> None:
    with pytest.raises(ForebayError, match=r"--stream|between 0 and 1"):
        lab_run(*words)


def test_a_fitted_model_can_be_used(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.json"
    assert lab_run(pairs, "--fit", out, "--json", tmp_path / "out.json")[0] == 0
    made = parse_model(json.loads(out.read_text(encoding="utf-8")))
    assert made.embedder == HashingEmbedder().model_id
    assert made == acceptance.model(str(out))
    fitted = next(row for row in rows_in(tmp_path / "out.json") if row["policy"].startswith("fitted"))
    assert fitted["served_fpr"] <= 0.05


def test_the_picture(pairs: Path, tmp_path: Path) -> None:
    assert lab_run(pairs, "--plot", tmp_path / "picture.png")[0] == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ForebayError, match="cannot be read"):
        lab_run(tmp_path / "missing.jsonl")
    out = io.StringIO()
    assert run(lab.parts(), ["acceptence"], Console(file=out)) == 2
    assert "Did you mean 'acceptance'?" in out.getvalue()
    out = io.StringIO()
    assert run(lab.parts(), [], Console(file=out)) == 0
    assert "forebay lab PART" in out.getvalue()
