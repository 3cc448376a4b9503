"""``forebay cache export``, ``import`` and ``reembed``, on a real Milvus Lite file."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.lite import LiteServer
from forebay.middleware.cli.cache_files import header_of
from forebay.middleware.cli.reembed import BATCH
from forebay.middleware.cli.store import Opened, opened_store
from forebay.middleware.cli.transfer import put_lines, read_lines, replaced, write_entries
from forebay.middleware.config import load_config
from forebay.middleware.errors import EmbedderError, ForebayError
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import Scannable
from forebay.middleware.records import EVERYTHING, Answer, Entry, Key, Query
from forebay.middleware.runtime import Runtime, prepare_state_dir

Run = Callable[..., Any]
NOW = float(int(time.time()))


def entry(name: str, *, vector: bool = True, **fields: Any) -> Entry:
    made = Entry(
        id=name,
        scope="scope",
        context="",
        question=f"question {name}",
        answer=Answer({"id": name, "choices": [{"message": {"content": f"answer {name}"}}]}, 3, 4),
        model="big",
        tenant="tenant",
        created_s=NOW - 10,
        expires_s=NOW + 86_400,
        cost=7.0,
    )
    if vector:
        made = replace(made, vector=vectors(f"question {name}")[0], embedder="hashing/1/32")
    return replace(made, **fields)


def vectors(*texts: str, dimension: int = 32) -> list[Any]:
    return list(asyncio.run(HashingEmbedder(dimension=dimension).embed(texts)))


def keep(config: Path, entries: Sequence[Entry]) -> None:
    """Keep entries as a process with this config would."""
    settings = load_config(config)
    prepare_state_dir(settings.state_dir)

    async def put() -> None:
        async with opened_store(settings, PluginManager.from_entry_points()) as opened:
            for each in entries:
                await opened.store.put(each)

    asyncio.run(put())


def kept(config: Path) -> dict[str, Entry]:
    async def scan() -> dict[str, Entry]:
        async with opened_store(load_config(config), PluginManager.from_entry_points()) as opened:
            assert isinstance(opened.store, Scannable)
            return {each.id: replace(each, size_bytes=0) async for each in opened.store.scan(EVERYTHING)}

    return asyncio.run(scan())


def change(config: Path, old: str, new: str) -> None:
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")


ENTRIES = [
    entry("e1"),
    entry("e2", context="c", reading="about it", context_vector=vectors("about it")[0]),
    entry("e3", vector=False),
]


@pytest.fixture
def full(config: Path) -> Path:
    keep(config, ENTRIES)
    return config


def report(outcome: Any) -> dict[str, Any]:
    assert outcome.status == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    return found


def test_what_is_exported_can_be_imported(forebay: Run, full: Path, folder: Path) -> None:
    before = kept(full)
    found = report(forebay("cache", "export", "all.jsonl", "--json"))
    assert (found["exported"], found["with_vector"], found["damaged"]) == (3, 2, 0)
    assert stat.S_IMODE((folder / "all.jsonl").stat().st_mode) == 0o600
    assert found["bytes"] == (folder / "all.jsonl").stat().st_size
    forebay("cache", "clear", "--yes")
    assert kept(full) == {}
    found = report(forebay("cache", "import", "all.jsonl", "--json"))
    assert found == {"imported": 3, "expired": 0, "known": 0, "without_vector": 0, "damaged": 0}
    assert kept(full) == before


def test_people_are_told(forebay: Run, full: Path) -> None:
    outcome = forebay("cache", "export", "all.jsonl")
    assert "exported 3 answers, 2 with a vector, to all.jsonl" in outcome.out
    outcome = forebay("cache", "import", "all.jsonl")
    assert outcome.out.startswith("imported 0 answers\nleft 3 out: kept here already")


def test_an_imported_entry_is_found_by_similarity(forebay: Run, full: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    forebay("cache", "clear", "--yes")
    forebay("cache", "import", "all.jsonl")

    async def look() -> list[str]:
        async with opened_store(load_config(full), PluginManager.from_entry_points()) as opened:
            key = Key(scope="scope", context="", exact="x", text="question e1")
            (vector,) = await HashingEmbedder(dimension=32).embed(["question e1"])
            return [each.entry.id for each in await opened.store.search(Query(key, vector, "hashing/1/32", 1))]

    assert asyncio.run(look()) == ["e1"]


def test_the_newer_answer_stays_unless_told_otherwise(forebay: Run, full: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    newer = entry("e1", created_s=NOW, answer=Answer({"id": "newer"}, 1, 1))
    older = entry("e3", vector=False, created_s=NOW - 100, answer=Answer({"id": "older"}, 1, 1))
    keep(full, [newer, older])
    assert report(forebay("cache", "import", "all.jsonl", "--json"))["known"] == 2
    now = kept(full)
    assert (now["e1"].answer.body["id"], now["e3"].answer.body["id"]) == ("newer", "e3")
    assert report(forebay("cache", "import", "all.jsonl", "--overwrite", "--json"))["imported"] == 3
    assert kept(full)["e1"].answer.body["id"] == "e1"


def test_what_has_expired_meanwhile_is_left_out(forebay: Run, full: Path) -> None:
    keep(full, [entry("e4", expires_s=NOW - 1)])
    forebay("cache", "export", "all.jsonl")
    forebay("cache", "clear", "--yes")
    found = report(forebay("cache", "import", "all.jsonl", "--json"))
    assert (found["imported"], found["expired"]) == (3, 1)
    assert "e4" not in kept(full)


def test_a_damaged_line_is_named_and_nothing_is_imported(forebay: Run, full: Path, folder: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    forebay("cache", "clear", "--yes")
    lines = (folder / "all.jsonl").read_text(encoding="ascii").splitlines()
    lines[2] = lines[2].replace('"model":"big"', '"model":"bug"')
    lines[3] = lines[3][:100]
    (folder / "all.jsonl").write_text("\n".join(lines), encoding="ascii")
    outcome = forebay("cache", "import", "all.jsonl")
    assert outcome.status == 2
    assert "line 3: it was changed: its digest is wrong; line 4: it is cut off" in outcome.err
    assert "--skip-damaged" in outcome.err
    assert kept(full) == {}
    found = report(forebay("cache", "import", "all.jsonl", "--skip-damaged", "--json"))
    assert (found["imported"], found["damaged"]) == (1, 2)
    assert len(kept(full)) == 1


def test_another_secret_is_refused(forebay: Run, full: Path, folder: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    (folder / "state" / "secret.json").unlink()
    outcome = forebay("cache", "import", "all.jsonl")
    assert outcome.status == 2
    assert "all.jsonl: line 1: the file was written with another secret" in outcome.err


def test_the_eviction_policy_learns_of_what_was_imported(forebay: Run, full: Path) -> None:
    change(full, "state_dir", "eviction: {type: lru, max_entries: 4}\nstate_dir")

    async def run(*more: Entry) -> None:
        runtime = Runtime(load_config(full))
        await runtime.start()
        assert runtime.problems == []
        for each in more:
            await runtime.keeper.put(each)
        await runtime.stop()

    forebay("cache", "export", "all.jsonl")
    forebay("cache", "clear", "--yes")
    asyncio.run(run())  # its snapshot is younger than what is imported
    forebay("cache", "import", "all.jsonl")
    asyncio.run(run(*(entry(f"n{number}", created_s=NOW) for number in range(3))))
    assert len(kept(full)) == 4


def test_a_new_machine_with_the_same_secret_takes_it_in(
    forebay: Run, config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY__SECRET", "a secret that is long enough")
    keep(config, ENTRIES)
    forebay("cache", "export", "all.jsonl")
    change(config, "/state", "/another")
    assert report(forebay("cache", "import", "all.jsonl", "--json"))["imported"] == 3
    monkeypatch.delenv("FOREBAY__SECRET")
    change(config, "/another", "/a-third")
    assert "there is no state folder" in forebay("cache", "import", "all.jsonl").err
    assert not (folder / "a-third").exists()


def test_a_file_that_is_not_there(forebay: Run, full: Path) -> None:
    outcome = forebay("cache", "import", "nowhere.jsonl")
    assert outcome.status == 2
    assert "nowhere.jsonl cannot be read (No such file or directory)" in outcome.err
    outcome = forebay("cache", "export", "nowhere/all.jsonl")
    assert outcome.status == 2
    assert "cannot be written (No such file or directory)" in outcome.err


def test_a_file_is_replaced_whole_or_not_at_all(folder: Path) -> None:
    (folder / "all.jsonl").write_text("old", encoding="ascii")

    def write() -> None:
        with replaced(folder / "all.jsonl") as out:
            out.write("half of the new")
            raise ForebayError("the store broke")

    with pytest.raises(ForebayError, match="broke"):
        write()
    assert [path.name for path in folder.iterdir()] == ["all.jsonl"]
    assert (folder / "all.jsonl").read_text(encoding="ascii") == "old"


def test_without_vectors_they_are_made_on_import(forebay: Run, full: Path) -> None:
    before = kept(full)
    assert report(forebay("cache", "export", "all.jsonl", "--no-vectors", "--json"))["with_vector"] == 0
    forebay("cache", "clear", "--yes")
    assert report(forebay("cache", "import", "all.jsonl", "--json"))["without_vector"] == 2
    assert kept(full)["e1"].vector is None
    forebay("cache", "clear", "--yes")
    assert report(forebay("cache", "import", "all.jsonl", "--reembed", "--json"))["without_vector"] == 0
    after = kept(full)
    assert after["e3"].vector is None
    for name in ("e1", "e2"):
        assert after[name].vector == pytest.approx(before[name].vector, abs=1e-6)
    assert after["e2"].context_vector == pytest.approx(before["e2"].context_vector, abs=1e-6)


def test_reembed_makes_the_vectors_of_another_model_anew(forebay: Run, full: Path) -> None:
    wrong = vectors("something else")[0]
    foreign = [
        replace(each, vector=wrong, context_vector=wrong if each.reading else None, embedder="another/32")
        for each in (entry(f"f{number}", reading="it" if number % 2 else "") for number in range(BATCH + 3))
    ]
    keep(full, foreign)
    found = report(forebay("cache", "reembed", "--json"))
    assert found == {"reembedded": BATCH + 3, "embedder": "hashing/1/32"}
    now = kept(full)
    for each in foreign:
        made = now[each.id]
        assert made.embedder == "hashing/1/32"
        assert made.vector == pytest.approx(vectors(each.question)[0], abs=1e-6)
        if each.reading:
            assert made.context_vector == pytest.approx(vectors("it")[0], abs=1e-6)
        assert made.answer == each.answer
    assert now["e3"].vector is None
    assert "nothing to do" in forebay("cache", "reembed").out


def test_reembed_goes_on_where_it_stopped(forebay: Run, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = [entry(f"f{number:03}", embedder="another/32") for number in range(2 * BATCH)]
    keep(full, foreign)
    real = HashingEmbedder.embed
    calls = 0

    async def fail_later(self: HashingEmbedder, texts: Sequence[str]) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise EmbedderError("the embedding model is down")
        return await real(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", fail_later)
    outcome = forebay("cache", "reembed")
    assert outcome.status == 2
    assert f"is down. {BATCH} of {2 * BATCH} are done; run this again to go on" in outcome.err
    monkeypatch.setattr(HashingEmbedder, "embed", real)
    assert report(forebay("cache", "reembed", "--json"))["reembedded"] == BATCH


def test_vectors_of_another_length_move_through_a_file(forebay: Run, full: Path) -> None:
    change(full, "dimension: 32", "dimension: 48")
    outcome = forebay("cache", "reembed")
    assert outcome.status == 2
    assert "cache export FILE --dimension N" in outcome.err
    assert "store.collection" in outcome.err
    assert report(forebay("cache", "export", "all.jsonl", "--dimension", "32", "--json"))["with_vector"] == 2
    change(full, "{type: milvus}", "{type: milvus, collection: forebay_48}")
    found = report(forebay("cache", "import", "all.jsonl", "--reembed", "--json"))
    assert (found["imported"], found["without_vector"]) == (3, 0)
    now = kept(full)
    assert now["e1"].vector == pytest.approx(vectors("question e1", dimension=48)[0], abs=1e-6)
    assert now["e1"].embedder == "hashing/1/48"
    assert now["e3"].vector is None


def test_without_reembed_vectors_of_another_length_can_be_made_later(forebay: Run, full: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    change(full, "dimension: 32", "dimension: 48")
    change(full, "{type: milvus}", "{type: milvus, collection: forebay_48}")
    outcome = forebay("cache", "import", "all.jsonl")
    assert "2 answers of another embedder came without vectors that fit" in outcome.out
    assert report(forebay("cache", "reembed", "--json"))["reembedded"] == 2
    assert len(kept(full)["e2"].context_vector or ()) == 48


def test_without_an_embedder_nothing_is_embedded(forebay: Run, full: Path) -> None:
    forebay("cache", "export", "all.jsonl")
    full.write_text(full.read_text(encoding="utf-8") + "cache: {semantic: off}\n", encoding="utf-8")
    change(full, "{type: milvus}", "{type: milvus, collection: words_only}")
    outcome = forebay("cache", "reembed")
    assert outcome.status == 2
    assert "cache.semantic is off" in outcome.err
    assert report(forebay("cache", "import", "all.jsonl", "--json"))["without_vector"] == 2


@pytest.mark.parametrize("words", [("export", "all.jsonl"), ("import", "all.jsonl"), ("reembed",)])
def test_a_file_that_another_process_holds_is_said(forebay: Run, full: Path, folder: Path, words: Any) -> None:
    forebay("cache", "export", "all.jsonl")
    holder = LiteServer.open(folder / "state" / "cache.db")
    try:
        outcome = forebay("cache", *words)
    finally:
        holder.close()
    assert outcome.status == 2
    assert "in use by another process" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("words", [("export", "all.jsonl"), ("import", "all.jsonl"), ("reembed",)])
def test_a_store_inside_the_serving_process_cannot_be_reached(forebay: Run, config: Path, words: Any) -> None:
    config.write_text("store: {type: memory}", encoding="utf-8")
    outcome = forebay("cache", *words)
    assert outcome.status == 2
    assert "inside the process that serves" in outcome.err


async def test_a_round_trip_through_memory(tmp_path: Path) -> None:
    keyring = Keyring.from_secret("a secret that is long enough")
    first, second = MemoryStore(), MemoryStore()
    for each in ENTRIES:
        await first.put(each)
    with replaced(tmp_path / "all.jsonl") as out:
        out.write(header_of(keyring, version="0", created_s=NOW, embedder="hashing/1/32") + "\n")
        assert await write_entries(first, keyring, out, vectors=True) == {"exported": 3, "with_vector": 2}
    good, damaged = read_lines(tmp_path / "all.jsonl", keyring)
    assert (good, damaged) == ([2, 3, 4], [])
    opened = Opened(second, keyring, HashingEmbedder(dimension=32))
    counts = await put_lines(tmp_path / "all.jsonl", good, opened, overwrite=False)
    assert counts["imported"] == 3
    for each in ENTRIES:
        found = await second.get(each.id)
        assert found is not None
        assert (found.answer, found.reading, found.tags) == (each.answer, each.reading, each.tags)
        assert (found.vector is None) == (each.vector is None)
