from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.state import StateStore

Run = Callable[..., Any]


def verify(choice: str, reason: str, similarity: float, entry: str = "e1") -> dict[str, Any]:
    return {
        "stop": "verify", "choice": choice, "reason": reason, "similarity": similarity, "confidence": 0.5,
        "asked": "a1", "entry": entry,
    }  # fmt: skip


@pytest.fixture
def asked(config: Path, folder: Path) -> Path:
    (folder / "state").mkdir()
    state = StateStore(folder / "state" / "state.db")
    for at, decisions in enumerate(
        (
            [verify("reject", "number_conflict", 0.98)],
            [verify("reject", "number_conflict", 0.90)],
            [verify("unproven", "accepted", 0.95)],
            [verify("accept", "accepted", 0.99)],
            [{"stop": "lookup", "choice": "miss"}],
        )
    ):
        state.explain(f"r{at}", float(at), {"request_id": f"r{at}", "decisions": decisions})
    state.close()
    return config


def test_reasons_and_the_nearest(forebay: Run, asked: Path) -> None:
    lines = forebay("cache", "near-misses", "--limit", "2").out.splitlines()
    assert lines[0] == "3 requests had a candidate that was not served"
    assert lines[3].split() == ["number_conflict", "2", "0.940", "0.980"]
    assert lines[4].split() == ["unproven", "1", "0.950", "0.950"]
    assert [line.split()[:3] for line in lines[7:9]] == [
        ["0.980", "number_conflict", "r0"],
        ["0.950", "unproven", "r2"],
    ]


def test_as_json(forebay: Run, asked: Path) -> None:
    found = json.loads(forebay("cache", "near-misses", "--last", "4", "--json").out)
    assert [row["reason"] for row in found["reasons"]] == ["unproven", "number_conflict"]
    assert [row["request_id"] for row in found["nearest"]] == ["r2", "r1"]
    assert found["nearest"][0]["confidence"] == 0.5


def test_none(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").mkdir()
    assert forebay("cache", "near-misses").out == "no candidate was refused\n"
