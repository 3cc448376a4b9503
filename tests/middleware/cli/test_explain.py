from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.state import StateStore

Run = Callable[..., Any]
EXPLANATION = {
    "request_id": "fb-1",
    "model": "big",
    "status": "semantic",
    "ending": "complete",
    "duration_s": 0.0421,
    "input_tokens": 5,
    "output_tokens": 6,
    "decisions": [
        {"stop": "analyze", "choice": "question", "reason": "ok", "input_tokens": 5},
        {"stop": "lookup", "choice": "hit", "reason": "", "similarity": 0.93456789, "tier": "semantic", "entry": "e1"},
    ],
}


@pytest.fixture
def explained(config: Path, folder: Path) -> Path:
    (folder / "state").mkdir()
    state = StateStore(folder / "state" / "state.db")
    state.explain("fb-1", 1.0, EXPLANATION)
    state.close()
    return config


def test_explain(forebay: Run, explained: Path) -> None:
    outcome = forebay("explain", "fb-1")
    assert outcome.status == 0
    assert "semantic" in outcome.out
    assert "42 ms" in outcome.out
    assert "similarity 0.9346" in outcome.out
    assert "entry e1" in outcome.out


def test_explain_as_json(forebay: Run, explained: Path) -> None:
    assert json.loads(forebay("explain", "fb-1", "--json").out) == EXPLANATION


def test_an_unknown_request(forebay: Run, explained: Path) -> None:
    outcome = forebay("explain", "fb-2")
    assert outcome.status == 2
    assert "nothing is known about request 'fb-2'" in outcome.err


def test_explaining_makes_no_state(forebay: Run, config: Path, folder: Path) -> None:
    assert forebay("explain", "fb-1").status == 2
    (folder / "state").mkdir()
    assert forebay("explain", "fb-1").status == 2
    assert list((folder / "state").iterdir()) == []


def test_off_and_on(forebay: Run, config: Path, folder: Path) -> None:
    assert "it was on already" in forebay("on").out
    assert forebay("off").status == 0
    assert (folder / "state" / "off").exists()
    assert "take part again" in forebay("on").out
    assert not (folder / "state" / "off").exists()
