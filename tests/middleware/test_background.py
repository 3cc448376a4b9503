"""The background caller: the engine without a client, within a budget."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay import hookimpl
from forebay.middleware.background import TENANT, BackgroundCaller
from forebay.middleware.config import BackgroundConfig
from forebay.middleware.errors import EngineError, ForebayError
from forebay.middleware.events import Finished
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.parts import FakeClock, Spy, settled, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.middleware.runtime import Runtime


class Rig:
    def __init__(self, runtime: Runtime, engine: ScriptedEngine, **config: Any) -> None:
        self.runtime = runtime
        self.engine = engine
        self.clock = FakeClock()
        self.caller = BackgroundCaller(runtime.pipeline, engine, BackgroundConfig(**config), clock=self.clock)


@pytest.fixture
async def runtime() -> AsyncGenerator[Runtime]:
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        yield runtime


def refused(error: pytest.ExceptionInfo[ForebayError]) -> str:
    return str(error.value).removeprefix("no background call now: ")


async def test_it_computes_an_answer_past_the_cache(runtime: Runtime) -> None:
    rig = Rig(runtime, ScriptedEngine(["one", "two"]))
    asked = chat("hello", tenant="acme", stream=True)
    first = await rig.caller.call(asked)
    second = await rig.caller.call(asked)
    await settled(runtime)
    assert [body["choices"][0]["message"]["content"] for body in (first, second)] == ["one", "two"]
    assert [call.tenant for call in rig.engine.calls] == [TENANT, TENANT]
    assert not rig.engine.calls[0].stream
    assert await runtime.keeper.store.count() == 0


async def test_it_does_not_overwrite_the_explanation_of_the_clients_request() -> None:
    spy = Spy()
    async with started(None, spy) as runtime:
        asked = chat("hello")
        await Rig(runtime, ScriptedEngine([completion("hi")])).caller.call(asked)
        await settled(runtime)
    assert [finished.request_id for finished in spy.finished] == [f"{asked.id}-background"]


async def test_it_keeps_to_so_many_calls_a_minute(runtime: Runtime) -> None:
    rig = Rig(runtime, ScriptedEngine(), calls_per_minute=2)
    for _ in range(2):
        await rig.caller.call(chat("hello"))
        rig.clock.now_s += 10.0
    with pytest.raises(ForebayError) as raised:
        await rig.caller.call(chat("hello"))
    assert refused(raised) == "budget"
    rig.clock.now_s += 40.0  # the first call is a minute old
    await rig.caller.call(chat("hello"))
    assert rig.caller.refusal() == "budget"


async def test_it_keeps_to_so_many_calls_at_once(runtime: Runtime) -> None:
    gate = asyncio.Event()
    rig = Rig(runtime, ScriptedEngine(gate=gate))
    first = asyncio.create_task(rig.caller.call(chat("hello")))
    await until(lambda: rig.engine.running)
    assert rig.caller.refusal() == "budget"
    gate.set()
    await first
    assert rig.caller.refusal() is None


async def test_a_budget_of_nothing_calls_nothing(runtime: Runtime) -> None:
    for config in ({"calls_per_minute": 0}, {"max_concurrent": 0}):
        rig = Rig(runtime, ScriptedEngine(), **config)
        with pytest.raises(ForebayError):
            await rig.caller.call(chat("hello"))
        assert rig.engine.calls == []


async def test_while_clients_wait_it_calls_nothing(runtime: Runtime) -> None:
    gate = asyncio.Event()
    rig = Rig(runtime, ScriptedEngine(gate=gate))
    clients = [
        asyncio.create_task(runtime.pipeline.handle(chat(f"client {at}"), ScriptedEngine(gate=gate))) for at in range(2)
    ]
    await until(lambda: runtime.pipeline.gate.load.queued == 1)
    with pytest.raises(ForebayError) as raised:
        await rig.caller.call(chat("hello"))
    assert refused(raised) == "busy"
    gate.set()
    await asyncio.gather(*clients)
    await rig.caller.call(chat("hello"))


async def test_it_never_calls_itself(runtime: Runtime) -> None:
    class Recursive(ScriptedEngine):
        refusal: str | None = None

        async def complete(self, request: Any, headers: Any) -> Any:
            self.refusal = rig.caller.refusal()
            return await super().complete(request, headers)

    engine = Recursive()
    rig = Rig(runtime, engine, max_concurrent=5)
    await rig.caller.call(chat("hello"))
    assert engine.refusal == "recursion"
    assert rig.caller.refusal() is None


async def test_an_observer_of_a_background_call_cannot_start_another() -> None:
    seen: list[str | None] = []

    class Auditor:
        caller: BackgroundCaller | None = None

        @hookimpl
        def request_finished(self, finished: Finished) -> None:
            assert self.caller is not None
            seen.append(self.caller.refusal())

    auditor = Auditor()
    async with started(None, auditor) as runtime:
        rig = Rig(runtime, ScriptedEngine(), max_concurrent=5)
        auditor.caller = rig.caller
        await runtime.pipeline.handle(chat("by a client"), ScriptedEngine())
        await settled(runtime)
        await rig.caller.call(chat("in the background"))
        await settled(runtime)
    assert seen == [None, "recursion"]


async def test_a_call_that_fails_gives_its_place_back(runtime: Runtime) -> None:
    rig = Rig(runtime, ScriptedEngine([EngineError("down", status=503)]))
    for _ in range(3):
        with pytest.raises(EngineError):
            await rig.caller.call(chat("hello"))
    assert rig.caller.refusal() is None
    assert runtime.pipeline.gate.load.inflight == 0
