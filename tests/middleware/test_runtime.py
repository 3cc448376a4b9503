"""Starting, asking and stopping everything one process runs."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING, Any

import pytest

from forebay import Runtime
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.config import parse_config
from forebay.middleware.errors import ConfigError, PluginError, StoreError
from forebay.middleware.events import Health
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.records import Verdict
from forebay.middleware.runtime import prepare_state_dir
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.parts import Given, settled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Part:
    """Something to open and close, that may fail at it."""

    def __init__(self, error: Exception | None = None, *, hangs_at_stop: bool = False) -> None:
        self.error = error
        self.hangs_at_stop = hangs_at_stop
        self.notes: list[str] = []

    async def start(self) -> None:
        self.notes.append("start")
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        self.notes.append("stop")
        if self.hangs_at_stop:
            await asyncio.Event().wait()

    async def check_ready(self) -> Sequence[Health]:
        if self.error is not None:
            raise self.error
        return [Health("part", ok=True, detail="up")]


class StorePart(Part, MemoryStore):
    def __init__(self, error: Exception | None = None, **options: Any) -> None:
        MemoryStore.__init__(self)
        Part.__init__(self, error, **options)


class AcceptancePart(Part):
    def judge(self, asked: object, candidate: object) -> Verdict:
        return Verdict(accepted=False, confidence=0.0, reason="never")


async def test_parts_of_every_kind_are_opened_asked_and_closed() -> None:
    store, acceptance = StorePart(), AcceptancePart()
    plugin = Given(store=store, acceptance=acceptance)
    async with started(plugin.settings, plugin) as runtime:
        assert store.notes == acceptance.notes == ["start"]
        assert [item.name for item in await runtime.check_ready()].count("part") == 2
    assert store.notes == acceptance.notes == ["start", "stop"]


@pytest.mark.parametrize("error", [StoreError("no disk"), OSError("no disk"), TimeoutError("no disk")])
async def test_a_part_that_is_down_at_start_is_noted_and_requests_go_on(error: Exception) -> None:
    store, acceptance = StorePart(error), AcceptancePart(error)
    plugin = Given(store=store, acceptance=acceptance)
    async with started(plugin.settings, plugin) as runtime:
        assert runtime.problems == ["no disk", "no disk"]
        reply = await runtime.pipeline.handle(chat("hello"), ScriptedEngine(["hi"]))
        assert reply.body is not None
        await settled(runtime)
        bad = [item for item in await runtime.check_ready() if not item.ok]
        assert [item.detail for item in bad] == [f"{type(error).__name__}: no disk"] * 2
    assert store.notes == ["start", "stop"]


async def test_a_part_whose_settings_are_wrong_stops_the_start() -> None:
    plugin = Given(store=StorePart(ConfigError("wrong uri", path="store.uri")))
    with pytest.raises(ConfigError, match=r"store\.uri: wrong uri"):
        async with started(plugin.settings, plugin):
            pass


async def test_a_part_that_hangs_while_it_is_closed_does_not_hold_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.middleware.runtime.CLOSE_DEADLINE_S", 0.01)
    store, acceptance = StorePart(), AcceptancePart(hangs_at_stop=True)
    plugin = Given(store=store, acceptance=acceptance)
    async with started(plugin.settings, plugin):
        pass
    assert store.notes == acceptance.notes == ["start", "stop"]


def build(tmp_path: Path, **settings: Any) -> Runtime:
    memory = {"state_dir": str(tmp_path), "store": {"type": "memory"}, "embedder": {"type": "hashing"}}
    return Runtime(parse_config({**memory, **settings}, environ={}), PluginManager.from_entry_points())


def test_what_the_config_names_is_listed(tmp_path: Path) -> None:
    specs = dict(build(tmp_path, engine=None).specs())
    assert (specs["store"].type, specs["embedder"].type, specs["ordering"].type) == ("memory", "hashing", "composed")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": {"type": "memry"}}, r"store\.type: there is no store named 'memry'\. Did you mean 'memory'\?"),
        ({"eviction": {"type": "lru", "max_entrys": 1}}, r"eviction\.max_entrys: unknown key 'max_entrys'"),
        (
            {"answer_checks": [{"type": "clean_end"}, {"type": "x"}]},
            r"answer_checks\.1\.type: there is no answer_check",
        ),
        ({"limit": {"type": "fixed"}}, r"limit\.max_inflight: Field required"),
    ],
)
def test_what_cannot_be_built_is_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **settings)


def test_without_semantic_hits_no_embedder_is_loaded(tmp_path: Path) -> None:
    runtime = build(tmp_path, cache={"semantic": "off"}, embedder={"type": "no such thing"})
    assert runtime.embedder is None


def test_a_plugin_manager_serves_one_runtime(tmp_path: Path) -> None:
    manager = PluginManager.from_entry_points()
    config = parse_config(
        {"state_dir": str(tmp_path), "store": {"type": "memory"}, "embedder": {"type": "hashing"}}, environ={}
    )
    Runtime(config, manager)
    with pytest.raises(PluginError, match="plugin 'explain': is registered already"):
        Runtime(config, manager)


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"state_dir: cannot be written to \(.*\); point it at a folder this user"):
        prepare_state_dir(str(tmp_path / "file" / "below"))


def test_a_state_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    made = prepare_state_dir(str(tmp_path / "a" / "b"))
    assert made.is_dir()
    assert list(made.iterdir()) == []


def test_a_new_state_folder_is_this_users_alone(tmp_path: Path) -> None:
    made = prepare_state_dir(str(tmp_path / "new"))
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    assert stat.S_IMODE(prepare_state_dir(str(shared)).stat().st_mode) == 0o755, "the operator's choice stays"
