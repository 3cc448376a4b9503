from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.config import load_config
from forebay.middleware.runtime import Runtime
from forebay.middleware.state import StateStore
from forebay.testing import ScriptedEngine, chat

Run = Callable[..., Any]


@pytest.fixture
def used(config: Path) -> Path:
    """A configuration under which some requests were computed."""

    async def use() -> None:
        runtime = Runtime(load_config(config, environ={"FOREBAY__STORE__TYPE": "memory"}))
        await runtime.start()
        try:
            for at in range(30):
                asked = chat(f"Write {at} words about the sea, please, and mention number {at * 7}.")
                await runtime.pipeline.handle(asked, ScriptedEngine(["word " * (at + 1)]))
        finally:
            await runtime.stop()

    asyncio.run(use())
    return config


def test_each_part_has_a_table(forebay: Run, used: Path) -> None:
    lines = forebay("predictions").out.splitlines()
    assert "predictors.length" in lines
    header = lines[lines.index("predictors.length") + 1]
    assert "coverage" in header


def test_as_json(forebay: Run, used: Path) -> None:
    rows = json.loads(forebay("predictions", "--json").out)
    lengths = [row for row in rows if row["part"] == "predictors.length"]
    assert lengths
    assert lengths[0]["n"] == 30


def test_nothing_predicted(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").mkdir()
    assert "nothing was predicted yet" in forebay("predictions").out


def test_a_snapshot_that_cannot_be_read_is_no_error(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").mkdir()
    state = StateStore(folder / "state" / "state.db")
    state.save("learned:predictors.length", {"other": 1})
    state.close()
    assert "nothing was predicted yet" in forebay("predictions").out
