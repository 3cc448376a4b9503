from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import pytest

from forebay.middleware.savings import day_of
from forebay.middleware.state import StateStore

Run = Callable[..., Any]
DAY_S = 86_400.0


@pytest.fixture
def counted(config: Path, folder: Path) -> Path:
    (folder / "state").mkdir()
    state = StateStore(folder / "state" / "state.db")
    today, old = day_of(time()), day_of(time() - 30 * DAY_S)
    for day, key, hit, tokens, usd in (
        (today, "search", True, 1500, 1.5),
        (today, "search", False, 0, 0.0),
        (today, "", True, 10, 0.0),
        (old, "search", True, 99, 1.0),
    ):
        state.count_saved((day, key, "ops", "big"), hit=hit, tokens=tokens, usd=usd)
    state.close()
    return config


def test_by_key(forebay: Run, counted: Path) -> None:
    lines = forebay("savings").out.splitlines()
    assert lines[0].split() == ["key", "requests", "hits", "hit", "ratio", "tokens", "saved", "US$", "saved"]
    assert lines[1].split() == ["search", "2", "1", "50.0%", "1,500", "1.50"]
    assert lines[2].split() == ["(none)", "1", "1", "100.0%", "10", "0.00"]
    assert lines[3].split() == ["all", "3", "2", "66.7%", "1,510", "1.50"]


def test_further_back_and_as_json(forebay: Run, counted: Path) -> None:
    rows = json.loads(forebay("savings", "--by", "team", "--days", "40", "--json").out)
    assert rows == [{"team": "ops", "requests": 4, "hits": 3, "tokens_saved": 1609, "usd_saved": 2.5}]


def test_nothing_counted(forebay: Run, config: Path, folder: Path) -> None:
    assert forebay("savings").status == 2, "nothing ever ran there"
    (folder / "state").mkdir()
    assert forebay("savings", "--days", "1").out == "no requests in the last 1 day\n"
