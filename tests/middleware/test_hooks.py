"""Each hook, through a running runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay import hookimpl
from forebay.middleware.errors import ShedError
from forebay.middleware.events import Check, Decision, Evicted, Finished, Health, Started, Stored
from forebay.middleware.records import Ending
from forebay.middleware.registry import LIMIT, NoSettings, Registrar
from forebay.middleware.version import __version__
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.parts import AtMost, Spy, settled

if TYPE_CHECKING:
    from collections.abc import Callable


def plugin(hook: str, function: Callable[..., Any]) -> object:
    return type("Plugin", (), {hook: staticmethod(hookimpl(function))})()


async def test_register_components() -> None:
    def register_components(registry: Registrar) -> None:
        registry.add(LIMIT, "closed", lambda _settings, _build: AtMost(0), settings=NoSettings)

    settings = {"limit": {"type": "closed"}, "admission": {"max_queue": 0}}
    async with started(settings, plugin("register_components", register_components)) as runtime:
        engine = ScriptedEngine()
        with pytest.raises(ShedError):
            await runtime.pipeline.handle(chat("hello"), engine)
        assert engine.calls == []


async def test_startup() -> None:
    seen: list[Started] = []

    async def startup(started: Started) -> None:
        seen.append(started)

    async with started(None, plugin("startup", startup)) as runtime:
        assert [record.version for record in seen] == [__version__]
        assert seen[0].state_dir == str(runtime.state_dir)
        assert seen[0].components["store"] == "memory"


async def test_shutdown() -> None:
    notes: list[str] = []

    async def shutdown() -> None:
        notes.append("shutdown")

    def request_finished(finished: Finished) -> None:
        notes.append("finished")

    plugins = plugin("shutdown", shutdown), plugin("request_finished", request_finished)
    async with started(None, *plugins) as runtime:
        await runtime.pipeline.handle(chat("hello"), ScriptedEngine())
        assert notes == []
    assert notes == ["finished", "shutdown"]  # what was under way is settled first


async def test_check_ready() -> None:
    finding = Health("mine", ok=False, detail="down", fix="start it")
    seen: list[bool] = []

    def check_ready(check: Check) -> list[Health]:
        seen.append(check.thorough)
        return [finding]

    async def odd(check: Check) -> Any:
        return "neither a finding nor a list of them"

    def bare(check: Check) -> Health:
        return finding

    plugins = (plugin("check_ready", hook) for hook in (check_ready, odd, bare))
    async with started(None, *plugins) as runtime:
        found = await runtime.check_ready(thorough=False)
        assert list(found).count(finding) == 2
        assert all(isinstance(item, Health) for item in found)
    assert seen == [False]


async def test_request_finished() -> None:
    spy = Spy()
    async with started(None, spy) as runtime:
        first = chat("hello", tenant="acme")
        await runtime.pipeline.handle(first, ScriptedEngine(["hi"]))
        await settled(runtime)
        await runtime.pipeline.handle(chat("hello", tenant="acme"), ScriptedEngine())
        await settled(runtime)
    miss, hit = spy.finished
    assert (miss.request_id, miss.model, miss.tenant) == (first.id, "test-model", "acme")
    assert (miss.status, miss.ending, miss.miss_reason) == ("miss", Ending.COMPLETE, "no_candidate")
    assert (hit.status, hit.ending, hit.miss_reason) == ("exact", Ending.COMPLETE, "")
    assert (hit.input_tokens, hit.output_tokens) == (miss.input_tokens, miss.output_tokens) == (7, 3)
    assert [decision.stop for decision in miss.decisions] == [
        "strategy",
        "analyze",
        "lookup",
        "predict",
        "admit",
        "settle",
    ]
    assert miss.duration_s >= 0


async def test_entry_stored() -> None:
    seen: list[Stored] = []

    def entry_stored(stored: Stored) -> None:
        seen.append(stored)

    async with started(None, plugin("entry_stored", entry_stored)) as runtime:
        await runtime.pipeline.handle(chat("hello"), ScriptedEngine(["hi"]))
        await runtime.pipeline.handle(chat("cut"), ScriptedEngine([completion("cu", finish_reason="length")]))
        await settled(runtime)
        (stored,) = seen
        entry = await runtime.keeper.store.get(stored.entry_id)
        assert entry is not None
        assert (stored.scope, stored.expires_s, stored.size_bytes) == (entry.scope, entry.expires_s, entry.size_bytes)
        assert stored.size_bytes > 100


async def test_entry_evicted() -> None:
    spy = Spy()
    async with started({"eviction": {"type": "lru", "max_entries": 1}}, spy) as runtime:
        for text in ("first", "second"):
            await runtime.pipeline.handle(chat(text), ScriptedEngine([text]))
            await settled(runtime)
        assert spy.evicted == [Evicted(spy.stored[0].entry_id, "capacity")]
        assert await runtime.keeper.store.count() == 1


async def test_decision_made() -> None:
    seen: list[Decision] = []

    async def decision_made(decision: Decision) -> None:
        seen.append(decision)

    async with started(None, plugin("decision_made", decision_made)) as runtime:
        request = chat("hello")
        await runtime.pipeline.handle(request, ScriptedEngine(["hi"]))
        await settled(runtime)
    assert {decision.request_id for decision in seen} == {request.id}
    analyzed = next(one for one in seen if one.stop == "analyze")
    assert (analyzed.reason, analyzed.detail["cacheable"]) == ("ok", True)
    assert [(decision.stop, decision.choice, decision.reason) for decision in seen] == [
        ("strategy", "balanced", "default"),
        ("analyze", "chat", "ok"),
        ("lookup", "miss", "no_candidate"),
        ("predict", "predicted", ""),
        ("admit", "admitted", ""),
        ("settle", "stored", ""),
    ]


class Broken:
    """Ends the process wherever it is called."""

    @hookimpl
    def startup(self) -> None:
        raise SystemExit(1)

    @hookimpl
    async def shutdown(self) -> None:
        raise SystemExit(1)

    @hookimpl
    async def check_ready(self) -> None:
        raise SystemExit(1)

    @hookimpl
    def request_finished(self) -> None:
        raise SystemExit(1)

    @hookimpl
    async def entry_stored(self) -> None:
        raise SystemExit(1)

    @hookimpl
    def decision_made(self) -> None:
        raise SystemExit(1)


async def test_no_observer_fails_a_request_or_another_observer() -> None:
    spy = Spy()
    async with started(None, Broken(), spy) as runtime:
        await runtime.pipeline.handle(chat("hello"), ScriptedEngine(["hi"]))
        await settled(runtime)
        reply = await runtime.pipeline.handle(chat("hello"), ScriptedEngine(["hi"]))
        await settled(runtime)
        assert reply.status == "exact"
        assert len(spy.finished) == 2
        assert any("decision_made" in item.detail for item in await runtime.check_ready() if not item.ok)
