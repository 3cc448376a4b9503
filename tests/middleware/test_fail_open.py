"""Whatever breaks inside, the request is served as the engine would have served it."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.errors import EmbedderError, PayloadError, StoreError
from forebay.middleware.lifetimes import Lifetime
from forebay.middleware.records import Ending
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.parts import AtMost, Given, Queue, Spy, errors_of, settled, twins_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.middleware.runtime import Runtime

QUESTION = "What is a forebay?"
SIMILAR = "What is a forebay, please?"
SERVE = {"cache": {"semantic": "serve"}, "acceptance": {"type": "threshold", "threshold": 0.5}}


class OddError(Exception):
    """An error nobody expects."""


class Failing:
    """Stands before a part and, once armed, makes some of its methods raise or hang."""

    def __init__(self, part: object, *methods: str, error: BaseException | None = None) -> None:
        self._part = part
        self._methods = methods
        self._error = error
        self.armed = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        return self._standing_in(value) if name in self._methods else value

    def __len__(self) -> int:
        return len(self._part)  # type: ignore[arg-type]

    def _standing_in(self, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):

            async def later(*args: Any, **options: Any) -> Any:
                if not self.armed:
                    return await method(*args, **options)
                self.asked += 1
                if self._error is None:
                    await asyncio.Event().wait()
                raise self._error or AssertionError

            return later

        def now(*args: Any, **options: Any) -> Any:
            if not self.armed:
                return method(*args, **options)
            self.asked += 1
            raise self._error or AssertionError

        return now


def _shown(name: str) -> Callable[[Failing], Any]:
    return lambda self: self.__getattr__(name)


def typed(protocol_methods: str, part: object, *methods: str, error: BaseException | None = None) -> Any:
    """A `Failing` whose class shows these methods, as a protocol wants."""
    names = protocol_methods.split()
    shown = {name: property(_shown(name)) for name in names}
    return type("Failing", (Failing,), shown)(part, *methods, error=error)


class Embedder:
    model_id = "one@1"
    dimension = 2

    async def embed(self, texts: Any) -> Any:
        return [(1.0, 0.0) for _ in texts]


class Analyzer:
    def analyze(self, request: Any) -> Any:
        from forebay.middleware.analysis.facts import RequestFacts

        return RequestFacts(1, 1, "question", cacheable=True, semantic=True)


class Acceptance:
    def judge(self, asked: Any, candidate: Any) -> Any:
        from forebay.middleware.records import Verdict

        return Verdict(accepted=True, confidence=1.0, reason="accepted")


class Check:
    def refuse(self, request: Any, answer: Any) -> str | None:
        return None


class Expiry:
    def lifetime(self, request: Any, facts: Any, answer: Any) -> Lifetime:
        return Lifetime(60.0)


class Eviction:
    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> list[str]:
        return []

    def touched(self, entry_id: str, now_s: float) -> None: ...

    def removed(self, entry_id: str) -> None: ...

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: object) -> None: ...


def _one() -> AtMost:
    return AtMost(1)


PARTS: dict[str, tuple[Callable[[], object], str]] = {
    "analyzer": (Analyzer, "analyze"),
    "embedder": (Embedder, "embed"),
    "store": (MemoryStore, "get search put delete count"),
    "acceptance": (Acceptance, "judge"),
    "answer_check": (Check, "refuse"),
    "ordering": (Queue, "push peek remove"),
    "limit": (_one, "admits"),
    "expiry": (Expiry, "lifetime"),
    "eviction": (Eviction, "added touched removed"),
}
MATRIX = [
    (kind, method, error)
    for kind, (_, methods) in PARTS.items()
    for method in methods.split()
    for error in (OddError("odd"), StopIteration())
]


def given(kind: str, *methods: str, error: BaseException | None = None) -> tuple[Given, Any]:
    make, names = PARTS[kind]
    whole = f"{names} snapshot restore" if kind == "eviction" else names
    part = typed(whole, make(), *methods, error=error)
    if kind == "embedder":
        part.model_id, part.dimension = Embedder.model_id, Embedder.dimension
    return Given(**{kind: part}), part


async def answers(runtime: Runtime, text: str, *, stream: bool = False) -> str:
    """Ask and return the text of the answer, however it came."""
    reply = await runtime.pipeline.handle(chat(text, stream=stream), ScriptedEngine(["an answer"]))
    if reply.chunks is not None:
        chunks = [chunk async for chunk in reply.chunks]
        found = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    else:
        assert reply.body is not None
        found = reply.body["choices"][0]["message"]["content"]
    await settled(runtime)
    return found


@pytest.mark.parametrize(
    ("kind", "method", "error"),
    MATRIX,
    ids=[f"{kind}.{method}-{type(error).__name__}" for kind, method, error in MATRIX],
)
async def test_no_part_that_raises_fails_a_request(kind: str, method: str, error: Exception) -> None:
    spy = Spy()
    plugin, part = given(kind, method, error=error)
    async with started({**SERVE, **plugin.settings}, plugin, spy) as runtime:
        assert await answers(runtime, QUESTION) == "an answer"  # something to find
        part.armed = True
        for stream in (False, True):
            for text in (QUESTION, SIMILAR, f"Something else? {stream}"):
                assert await answers(runtime, text, stream=stream) == "an answer"
        part.armed = False
        gate = runtime.pipeline.gate
        assert await answers(runtime, "Afterwards?") == "an answer"
        assert (gate.load.inflight, gate.load.queued) == (0, 0)
        assert runtime.pipeline.inflight == 0
        assert len(twins_of(runtime)) == 0
    assert [finished.ending for finished in spy.finished] == [Ending.COMPLETE] * 8


@pytest.mark.parametrize("kind", ["ordering", "limit"])
async def test_who_waits_in_a_queue_that_breaks_goes_on(kind: str) -> None:
    names = PARTS["ordering" if kind == "ordering" else "limit"][1]
    part = typed(names, Queue() if kind == "ordering" else AtMost(1), *names.split(), error=OddError("odd"))
    limit = {} if kind == "limit" else {"limit": {"type": "fixed", "max_inflight": 1}}
    plugin = Given(**{kind: part})
    hold = asyncio.Event()
    async with started({**plugin.settings, **limit}, plugin) as runtime:
        engine = ScriptedEngine(gate=hold)
        tasks = [asyncio.create_task(runtime.pipeline.handle(chat(f"q{at}"), engine)) for at in range(3)]
        await until(lambda: runtime.pipeline.gate.load.queued == 2)
        part.armed = True
        hold.set()
        assert [(await task).status for task in tasks] == ["miss"] * 3
        assert errors_of(runtime)["admission"] >= 2


@pytest.mark.parametrize("hang", [False, True], ids=["raises", "hangs"])
@pytest.mark.parametrize("kind", ["store", "embedder"])
async def test_a_dependency_that_is_down_costs_no_answer_and_is_soon_left_alone(
    kind: str, hang: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.middleware.settle.EMBED_DEADLINE_S", 0.02)
    error = None if hang else StoreError("down") if kind == "store" else EmbedderError("down")
    plugin, part = given(kind, *PARTS[kind][1].split(), error=error)
    settings = {**SERVE, **plugin.settings, "cache": {"semantic": "serve", "lookup_deadline_ms": 20}}
    async with started(settings, plugin) as runtime:
        assert await answers(runtime, QUESTION) == "an answer"
        monkeypatch.setattr(runtime.keeper, "_write_s", 0.01)
        part.armed = True
        for at in range(8):
            assert await answers(runtime, f"{SIMILAR} {at}") == "an answer"
        assert errors_of(runtime)[kind] >= 5
        asked = part.asked
        assert await answers(runtime, QUESTION) == "an answer"
        assert part.asked == asked  # the breaker is open


async def test_a_lookup_ends_within_its_deadline() -> None:
    plugin, part = given("store", "get", "search", "count")
    async with started({**plugin.settings, "cache": {"lookup_deadline_ms": 20}}, plugin) as runtime:
        part.armed = True
        flight = runtime.pipeline.begin(chat(QUESTION))
        runtime.pipeline.analyze(flight)
        began = time.perf_counter()
        found = await runtime.pipeline.lookup(flight)
        assert time.perf_counter() - began < 2.0
        assert getattr(found, "reason", None) == "timeout"
        runtime.pipeline.finish(flight, Ending.FAILED)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreError("x"), "store_error"), (OddError("x"), "error"), (PayloadError("x"), "store_error")],
)
async def test_a_miss_says_what_broke(error: Exception, reason: str) -> None:
    spy = Spy()
    plugin, part = given("store", "count", error=error)
    async with started(plugin.settings, plugin, spy) as runtime:
        part.armed = True
        await answers(runtime, QUESTION)
    assert spy.finished[0].miss_reason == reason


async def test_a_store_whose_client_cancels_itself_cancels_no_request() -> None:
    plugin, part = given("store", "get", "search", "put", "count", error=asyncio.CancelledError())
    async with started(plugin.settings, plugin) as runtime:
        part.armed = True
        assert await answers(runtime, QUESTION) == "an answer"
        assert errors_of(runtime)["store"] >= 1


async def test_an_answer_that_cannot_be_embedded_is_kept_for_exact_hits() -> None:
    plugin, part = given("embedder", "embed", error=OddError("odd"))
    async with started({**SERVE, **plugin.settings}, plugin) as runtime:
        part.armed = True
        assert await answers(runtime, QUESTION) == "an answer"
        reply = await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine(["another"]))
        assert reply.status == "exact"


async def test_a_hit_is_served_although_the_eviction_policy_breaks() -> None:
    plugin, part = given("eviction", "touched", error=OddError("odd"))
    async with started({**SERVE, **plugin.settings}, plugin) as runtime:
        await answers(runtime, QUESTION)
        part.armed = True
        reply = await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine(["another"]))
        assert reply.status == "exact"
        assert errors_of(runtime)["eviction"] == 1


async def test_a_request_that_has_no_key_is_served() -> None:
    async with started() as runtime:
        odd: list[dict[str, Any]] = [{"temperature": float("nan")}, {"seed": {1, 2}}, {"tools": b"bytes"}]
        for params in odd:
            reply = await runtime.pipeline.handle(chat(QUESTION, **params), ScriptedEngine())
            assert reply.status == "miss"
        await settled(runtime)
        assert await runtime.keeper.store.count() == 0


@pytest.mark.parametrize("messages", [[], [None], "text", [{"role": "user"}], [{"content": 7}], None, [[]]])
async def test_whatever_the_messages_are_the_engine_gets_them(messages: Any) -> None:
    from dataclasses import replace

    async with started() as runtime:
        engine = ScriptedEngine()
        reply = await runtime.pipeline.handle(replace(chat(QUESTION), messages=messages), engine)
        await settled(runtime)
        assert reply.body is not None
        assert engine.calls[0].messages is messages


ODD_BODIES: list[dict[str, Any]] = [
    {},
    {"choices": None},
    {"choices": "x"},
    {"choices": [None]},
    {"choices": [[]]},
]


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_whatever_the_engine_answers_the_caller_gets_it(body: dict[str, Any]) -> None:
    async with started() as runtime:
        reply = await runtime.pipeline.handle(chat(QUESTION), ScriptedEngine([body]))
        await settled(runtime)
        assert reply.body == body
        assert await runtime.keeper.store.count() == 0
