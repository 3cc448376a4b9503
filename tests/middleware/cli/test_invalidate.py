"""Taking kept answers back from the command line."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.cli.invalidate import duration_s
from forebay.middleware.cli.store import keyring_of, opened_store
from forebay.middleware.config import load_config
from forebay.middleware.epochs import Epochs
from forebay.middleware.errors import ForebayError
from forebay.middleware.keys import system_digest
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.records import EVERYTHING, Answer, Entry
from forebay.middleware.refused import RefusedPairs
from forebay.middleware.runtime import prepare_state_dir
from forebay.middleware.state import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

PROMPT = "You are brief."


def keep(config: Path) -> None:
    """Keep three answers as a process with this config would."""
    settings = load_config(config)
    prepare_state_dir(settings.state_dir)
    now = time.time()

    async def put() -> None:
        async with opened_store(settings, PluginManager.from_entry_points()) as opened:
            assert opened.embedder is not None
            texts = ("how tall is the tower?", "how tall is the tower", "what is a turbine?")
            vectors = await opened.embedder.embed(texts)
            base = Entry(
                id="e1",
                scope="scope",
                context="",
                question=texts[0],
                answer=Answer({"id": "x", "model": "big-1"}),
                model="big",
                tenant=opened.keyring.digest("tenant", "a"),
                created_s=now - 7200,
                expires_s=now + 60,
                vector=vectors[0],
                embedder=opened.embedder_id,
                tags=("x", "y"),
                system=system_digest(opened.keyring, PROMPT),
            )
            await opened.store.put(base)
            await opened.store.put(replace(base, id="e2", question=texts[1], vector=vectors[1], tags=("y",), system=""))
            third = replace(base, id="e3", question=texts[2], vector=vectors[2], tags=(), created_s=now - 10)
            other = opened.keyring.digest("tenant", "b")
            await opened.store.put(replace(third, tenant=other, expires_s=now - 1, answer=Answer({"model": "big-2"})))

    asyncio.run(put())


def left(config: Path) -> set[str]:
    async def names() -> set[str]:
        async with opened_store(load_config(config), PluginManager.from_entry_points()) as opened:
            store: Any = opened.store
            return {entry.id async for entry in store.scan(EVERYTHING)}

    return asyncio.run(names())


@pytest.fixture
def kept(config: Path) -> Path:
    keep(config)
    return config


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (("--tag", "x"), {"e1"}),
        (("--tag", "y"), {"e1", "e2"}),
        (("--version", "big-2"), {"e3"}),
        (("--system", f" {PROMPT}\n"), {"e1", "e3"}),
        (("--system", "@prompt.txt"), {"e1", "e3"}),
        (("--older-than", "1h"), {"e1", "e2"}),
        (("--older-than", "1h", "--tag", "x"), {"e1"}),
        (("--near", "how tall is the tower?", "--within", ".8", "--yes"), {"e1", "e2"}),
        (("--near", "how tall is the tower?", "--within", ".8", "--tag", "x", "--yes"), {"e1"}),
    ],
)
def test_forget(forebay: Run, kept: Path, folder: Path, words: Any, gone: set[str]) -> None:
    (folder / "prompt.txt").write_text(PROMPT + "\n", encoding="utf-8")
    would = forebay("cache", "forget", *words, "--dry-run")
    assert would.status == 0, would.err
    assert f"would drop {len(gone)} answer" in would.out
    assert left(kept) == {"e1", "e2", "e3"}
    outcome = forebay("cache", "forget", *words)
    assert (outcome.status, outcome.err) == (0, "")
    assert f"dropped {len(gone)} answer" in outcome.out
    assert "tower" not in outcome.out
    assert left(kept) == {"e1", "e2", "e3"} - gone


def test_a_neighbourhood_is_shown_and_asked_about(forebay: Run, kept: Path) -> None:
    words = ("cache", "forget", "--near", "how tall is the tower?", "--within", ".8")
    refused = forebay(*words, answer="n\n")
    assert refused.status == 1
    assert "1.000" in refused.out
    assert left(kept) == {"e1", "e2", "e3"}
    assert forebay(*words, answer="y\n").status == 0
    assert left(kept) == {"e3"}
    assert forebay(*words).status == 1  # nothing is near any more, so nothing is asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tag", "not plain"), "a tag is"),
        (("--older-than", "soon"), "is no duration"),
        (("--system", " "), "selects nothing"),
        (("--system", "@missing"), "cannot be read"),
    ],
)
def test_what_is_not_understood_drops_nothing(forebay: Run, kept: Path, words: Any, said: str) -> None:
    outcome = forebay("cache", "forget", *words)
    assert outcome.status == 2
    assert said in outcome.err
    assert left(kept) == {"e1", "e2", "e3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("36H", 129_600.0), ("2d", 172_800.0), ("1w", 604_800.0)],
)
def test_durations(text: str, expected: float) -> None:
    assert duration_s(text) == expected


@pytest.mark.parametrize("text", ["", "h", "-1h", "1y", "nan", "1e999"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ForebayError, match="no duration"):
        duration_s(text)


def test_a_bump_is_kept_and_deletes_nothing(forebay: Run, kept: Path, folder: Path) -> None:
    assert "no longer served" in forebay("cache", "bump", "--tenant", "a").out
    assert left(kept) == {"e1", "e2", "e3"}
    tenant = keyring_of(load_config(kept)).digest("tenant", "a")
    state = StateStore(folder / "state" / "state.db")
    first = Epochs(state)
    assert first.of(tenant) > 0
    assert first.of("other") == 0
    assert forebay("cache", "bump", answer="n\n").status == 1
    assert forebay("cache", "bump", "--yes").status == 0
    assert Epochs(state).of("other") > 0
    state.close()


def test_erasing_a_tenant_is_complete_and_says_what_it_removed(forebay: Run, kept: Path, folder: Path) -> None:
    tenant = keyring_of(load_config(kept)).digest("tenant", "a")
    state = StateStore(folder / "state" / "state.db")
    state.explain("r1", 1.0, {"tenant": tenant, "decisions": []})
    state.explain("r2", 1.0, {"decisions": [{"entry": "e2"}]})
    state.explain("r3", 1.0, {"tenant": "other", "decisions": []})
    state.count_saved(("2026-01-01", "alice", "team", "m"), hit=True, tokens=1, usd=0.0)
    RefusedPairs(state).add("q", "e1")
    state.close()
    assert forebay("cache", "erase", "--tenant", "a", answer="n\n").status == 1
    assert left(kept) == {"e1", "e2", "e3"}
    outcome = forebay("cache", "erase", "--tenant", "a", "--key", "alice", "--yes", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    said = json.loads(outcome.out)
    assert said["removed"] == {
        "answers in running processes": 0,
        "answers in the store": 2,
        "explanations of requests": 2,
        "pairs that must not match": 1,
        "rows of savings": 1,
    }
    assert (said["left"], said["store_looked_into"], said["tenant"]) == (0, True, tenant)
    assert said["not_removed"]
    assert left(kept) == {"e3"}
    after = StateStore(folder / "state" / "state.db")
    assert Epochs(after).of(tenant) > 0
    assert after.explanation("r3") is not None
    after.close()
    again = forebay("cache", "erase", "--tenant", "a", "--yes")
    assert again.status == 0
    assert "after that 0 found" in again.out


def _unsigned(*_: object) -> str:
    return "not a signed payload"


def test_damaged_answers_of_a_tenant_are_erased_too(forebay: Run, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("forebay.adapters.milvus.rows.encode_entry", _unsigned)
        keep(kept)
    assert json.loads(forebay("cache", "stats", "--json").out)["damaged"] == 3
    said = json.loads(forebay("cache", "erase", "--tenant", "a", "--yes", "--json").out)
    assert (said["removed"]["answers in the store"], said["left"]) == (2, 0)
    assert json.loads(forebay("cache", "stats", "--json").out)["damaged"] == 1
