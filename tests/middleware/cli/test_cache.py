from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.milvus.lite import LiteServer
from forebay.middleware.cli.store import opened_store
from forebay.middleware.config import load_config
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.records import Answer, Entry
from forebay.middleware.runtime import prepare_state_dir
from forebay.middleware.state import StateStore

Run = Callable[..., Any]


def keep(config: Path, entries: Sequence[tuple[str, str, str, float]]) -> None:
    """Keep answers as a process with this config would: id, model, tenant, lifetime."""
    settings = load_config(config)
    prepare_state_dir(settings.state_dir)
    now = time.time()

    async def put() -> None:
        async with opened_store(settings, PluginManager.from_entry_points()) as opened:
            for name, model, tenant, lifetime_s in entries:
                await opened.store.put(
                    Entry(
                        id=name,
                        scope="scope",
                        context="",
                        question="a question that no command may print",
                        answer=Answer({"id": "x"}, 3, 4),
                        model=model,
                        tenant=opened.keyring.digest("tenant", tenant),
                        created_s=now - 10,
                        expires_s=now + lifetime_s,
                        cost=7.0,
                    )
                )

    asyncio.run(put())


@pytest.fixture
def kept(config: Path) -> Path:
    keep(config, [("e1", "big", "a", 60), ("e2", "big", "b", 60), ("e3", "small", "a", -1)])
    return config


def test_stats(forebay: Run, kept: Path) -> None:
    found = json.loads(forebay("cache", "stats", "--json").out)
    assert (found["entries"], found["expired"], found["damaged"], found["with_vector"]) == (3, 1, 0, 0)
    assert found["bytes"] > 0
    assert [(m["model"], m["entries"], m["cost_tokens"]) for m in found["models"]] == [("big", 2, 14), ("small", 1, 7)]
    assert found["oldest_s"] <= found["newest_s"] <= time.time()


def test_stats_for_people(forebay: Run, kept: Path) -> None:
    outcome = forebay("cache", "stats")
    assert outcome.status == 0
    assert "3 answers" in outcome.out
    assert "1 expired" in outcome.out
    assert "a question" not in outcome.out


def test_stats_of_an_empty_store(forebay: Run, config: Path) -> None:
    keep(config, [])
    assert "no answers are kept" in forebay("cache", "stats").out


def test_without_a_state_folder_nothing_is_made(forebay: Run, config: Path, folder: Path) -> None:
    outcome = forebay("cache", "stats")
    assert outcome.status == 2
    assert "there is no state folder" in outcome.err
    assert not (folder / "state").exists()


def test_the_collection_keeps_the_shape_that_the_embedder_needs(forebay: Run, kept: Path) -> None:
    kept.write_text(kept.read_text(encoding="utf-8").replace("32", "48"), encoding="utf-8")
    outcome = forebay("cache", "stats")
    assert outcome.status == 2
    assert "48" in outcome.err


@pytest.mark.parametrize("words", [("stats",), ("clear", "--yes"), ("forget", "--id", "e1")])
def test_a_file_that_another_process_holds_is_said(forebay: Run, kept: Path, folder: Path, words: Any) -> None:
    holder = LiteServer.open(folder / "state" / "cache.db")
    try:
        outcome = forebay("cache", *words)
    finally:
        holder.close()
    assert outcome.status == 2
    assert "in use by another process" in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_a_store_inside_the_serving_process_cannot_be_looked_into(forebay: Run, config: Path) -> None:
    config.write_text("store: {type: memory}", encoding="utf-8")
    outcome = forebay("cache", "stats")
    assert outcome.status == 2
    assert "inside the process that serves" in outcome.err


def test_clear_asks_first(forebay: Run, kept: Path) -> None:
    assert forebay("cache", "clear", answer="n\n").status == 1
    assert json.loads(forebay("cache", "stats", "--json").out)["entries"] == 3
    assert "dropped 3 answers" in forebay("cache", "clear", answer="y\n").out
    assert json.loads(forebay("cache", "stats", "--json").out)["entries"] == 0


def test_clear_with_yes_does_not_ask(forebay: Run, kept: Path) -> None:
    assert forebay("cache", "clear", "--yes").out == "dropped 3 answers\n"


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("--id", "e2"), {"e1", "e3"}),
        (("--tenant", "a"), {"e2"}),
        (("--model", "big"), {"e3"}),
        (("--tenant", "a", "--model", "big"), {"e2", "e3"}),
    ],
)
def test_forget(forebay: Run, kept: Path, words: Any, left: set[str]) -> None:
    outcome = forebay("cache", "forget", *words)
    assert outcome.status == 0
    assert f"dropped {3 - len(left)} answer" in outcome.out
    remaining = {name for name in ("e1", "e2", "e3") if forebay("cache", "forget", "--id", name).status == 0}
    assert remaining == left


def test_forget_what_answered_a_request(forebay: Run, kept: Path, folder: Path) -> None:
    state = StateStore(folder / "state" / "state.db")
    state.explain("fb-1", 1.0, {"decisions": [{"stop": "lookup", "choice": "hit", "entry": "e2"}]})
    state.explain("fb-2", 1.0, {"decisions": [{"stop": "lookup", "choice": "miss"}]})
    state.close()
    assert forebay("cache", "forget", "--request-id", "fb-1").out == "dropped 1 answer\n"
    gone = forebay("cache", "forget", "--request-id", "fb-1")
    assert (gone.status, gone.out) == (1, "dropped 0 answers\n")
    assert "no kept answer had to do with" in forebay("cache", "forget", "--request-id", "fb-2").err


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "say what to forget"), (("--id", "a", "--request-id", "b"), "use one of them")],
)
def test_forget_needs_one_thing(forebay: Run, kept: Path, words: Any, said: str) -> None:
    outcome = forebay("cache", "forget", *words)
    assert outcome.status == 2
    assert said in outcome.err
