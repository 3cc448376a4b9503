"""Dropping kept answers: by what they are about, by the request they answered, everywhere."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.coordination import Told
from forebay.middleware.erasure import erase_state, keys_of
from forebay.middleware.invalidation import Invalidation, near, together, wrong_hit, wrong_of
from forebay.middleware.invalidation_calls import BUMP, FORGET, Called, call
from forebay.middleware.keys import make_key, system_digest
from forebay.middleware.records import EVERYTHING, Controls, Selector
from forebay.middleware.refused import RefusedPairs
from forebay.middleware.state import StateStore
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.contract.entries import digest, make_entry
from tests.middleware.parts import settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from forebay.middleware.records import Entry, Request
    from forebay.middleware.runtime import Runtime


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.db")
    yield store
    store.close()


async def ask(runtime: Runtime, request: Request) -> str:
    reply = await runtime.pipeline.handle(request, ScriptedEngine())
    await settled(runtime)
    return reply.status.value


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come")


async def kept(runtime: Runtime) -> list[Entry]:
    return [entry async for entry in runtime.keeper.scan(EVERYTHING)]


async def posted(runtime: Runtime, path: str, **body: Any) -> Called:
    made = await call(runtime, path, body)
    json.dumps(made.body)
    return made


# by request


SERVED: dict[str, Any] = {"stop": "lookup", "choice": "hit", "entry": "e"}
JUDGED: dict[str, Any] = {"stop": "verify", "choice": "accept", "entry": "e", "asked": "q"}
REFUSED: dict[str, Any] = {"stop": "verify", "choice": "reject", "entry": "r", "asked": "q"}
STORED: dict[str, Any] = {"stop": "settle", "choice": "stored", "entry": "q"}


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([SERVED], ("e", "")),
        ([JUDGED, SERVED], ("e", "q")),
        ([{**SERVED, "stop": "admit", "choice": "twin"}], ("e", "")),
        ([JUDGED, {**SERVED, "stop": "admit", "choice": "similar_twin"}], ("e", "q")),
        ([{**SERVED, "stop": "run", "choice": "stale_if_error"}], ("e", "")),
        ([REFUSED, STORED], ("q", "")),
        ([JUDGED, SERVED, STORED], ("q", "")),  # edited after its lookup: it was computed
        ([REFUSED], None),
        ([{**SERVED, "choice": "shadow_hit"}], None),
        ([], None),
    ],
)
def test_which_answer_had_to_do_with_a_request(decisions: Any, expected: Any) -> None:
    found = wrong_of({"decisions": decisions})
    assert (found if found is None else (found.entry, found.asked)) == expected


def test_nobody_names_the_answer_of_another_tenant(state: StateStore) -> None:
    state.explain("fb-1", 1.0, {"tenant": "mine", "decisions": [SERVED]})
    state.explain("fb-0", 1.0, {"decisions": [SERVED]})  # of a version that did not note the tenant
    found = wrong_hit(state, "fb-1", "mine")
    assert found is not None
    assert found.entry == "e"
    for request, tenant in (("fb-1", "other"), ("fb-1", ""), ("fb-0", "mine"), ("fb-0", ""), ("fb-2", "mine")):
        assert wrong_hit(state, request, tenant) is None


async def test_a_hit_of_a_runtime_is_found_by_its_request() -> None:
    async with started() as runtime:
        first, again = chat("what is a forebay?"), chat("what is a forebay?")
        assert [await ask(runtime, first), await ask(runtime, again)] == ["miss", "exact"]
        mine = runtime.keyring.digest("tenant", first.tenant)
        (entry,) = await kept(runtime)
        for request in (first, again):
            found = await asyncio.to_thread(wrong_hit, runtime.state, request.id, mine)
            assert found is not None
            assert (found.entry, found.asked) == (entry.id, "")
        assert wrong_hit(runtime.state, again.id, runtime.keyring.digest("tenant", "other")) is None


# by what they are about


async def test_the_neighbourhood_of_a_question() -> None:
    async with started() as runtime:
        for text in ("how tall is the tower?", "how tall is the tower", "what is a turbine?"):
            await ask(runtime, chat(text))
        await ask(runtime, chat("how tall is the tower?", tenant="other"))
        embedder, store = runtime.embedder, runtime.keeper.store
        assert embedder is not None
        everything: Any = {"keyring": runtime.keyring, "within": -1.0}
        found = await near(store, embedder, "how tall is the tower?", **everything)  # type: ignore[arg-type]
        assert [round(one.similarity, 3) for one in found][:2] == [1.0, 1.0]
        assert len(found) == 4
        close = await near(store, embedder, "how tall is the tower?", within=0.999, keyring=runtime.keyring)  # type: ignore[arg-type]
        assert 2 <= len(close) <= 3
        assert all("tower" not in one.question for one in close)
        mine = Selector(tenant=runtime.keyring.digest("tenant", "other"))
        one = await near(store, embedder, " how tall is the tower?\n", selector=mine, **everything)  # type: ignore[arg-type]
        assert len(one) == 1


class _Listed:
    def __init__(self, *entries: Entry) -> None:
        self._entries = entries

    async def scan(self, selector: Selector) -> AsyncGenerator[Entry]:
        for entry in self._entries:
            yield entry


class _Embedder:
    model_id = "words@1"
    dimension = 2

    async def embed(self, texts: Any) -> Any:
        return [(1.0, 0.0) for _ in texts]


async def test_vectors_of_other_models_are_not_compared() -> None:
    from forebay.middleware.keys import Keyring

    listed = _Listed(
        make_entry(question="a", vector=(1.0, 0.0)),
        make_entry(question="b", vector=(0.6, 0.8)),
        make_entry(question="c", vector=(1.0, 0.0), embedder="words@2"),
        make_entry(question="d", vector=(1.0, 0.0, 0.0)),
        make_entry(question="asked", vector=None, embedder=""),
    )
    found = await near(listed, _Embedder(), "asked", within=0.5, keyring=Keyring.from_secret("x" * 20))
    assert [round(one.similarity, 6) for one in found] == [1.0, 1.0, 0.6]


# everywhere


def test_a_worker_that_missed_one_of_several_things_has_not_answered() -> None:
    assert together([]) == Told()
    assert together([Told(3, 3, 5), Told(3, 2, 1), Told(2, 2, 0)]) == Told(3, 2, 6)


async def test_a_bump_is_not_a_scan_and_is_told() -> None:
    async with started() as runtime:
        await ask(runtime, chat("one"))
        (entry,) = await kept(runtime)
        told = await Invalidation(runtime.workers, runtime.epochs).bump(entry.tenant)
        assert told == Told()
        assert not runtime.epochs.holds(entry)
        assert runtime.keeper.forgotten.since(entry, 0.0)
        assert len(await kept(runtime)) == 1  # the sweep deletes it


async def test_what_ends_while_a_bump_is_being_written_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started() as runtime:
        raised, written = threading.Event(), threading.Event()
        bump = runtime.epochs.bump

        def slow(tenant: str | None = None) -> Selector:
            selector = bump(tenant)
            raised.set()
            written.wait(10.0)
            return selector

        monkeypatch.setattr(runtime.epochs, "bump", slow)
        gate = asyncio.Event()
        engine = ScriptedEngine(gate=gate)
        asking = asyncio.create_task(runtime.pipeline.handle(chat("one"), engine))
        await until(lambda: engine.running == 1)
        bumping = asyncio.create_task(
            Invalidation(runtime.workers, runtime.epochs).bump(runtime.keyring.digest("tenant", "tests"))
        )
        await asyncio.to_thread(raised.wait, 10.0)
        gate.set()
        await asking
        await settled(runtime)
        found = await kept(runtime)
        written.set()
        await bumping
        assert not found
        assert await ask(runtime, chat("one")) == "miss"
        assert await ask(runtime, chat("one")) == "exact"


async def test_what_another_worker_bumped_is_heard() -> None:
    async with started() as runtime:
        await ask(runtime, chat("one"))
        (entry,) = await kept(runtime)
        assert await runtime.workers.forget(Selector(epoch=1 << 60)) == 0
        assert not runtime.epochs.holds(entry)
        assert runtime.state.epochs()["everything"] == (1 << 60) >> 52


# the HTTP API


async def test_forgetting_over_http() -> None:
    async with started() as runtime:
        body = {**completion("ok"), "model": "big-2026"}
        asked: dict[str, dict[str, Any]] = {
            "a": {"system": "be brief"},
            "b": {"controls": Controls(tags=("x",))},
            "c": {},
        }
        for text, more in asked.items():
            await runtime.pipeline.handle(chat(text, **more), ScriptedEngine([body]))
        await settled(runtime)
        tries: list[dict[str, Any]] = [
            {"tag": "x"},
            {"version": "big-2026"},
            {"version": "other"},
            {"tenant": "tests"},
            {"tenant": "other"},
            {"model": "test-model"},
            {"older_than_s": 3600},
            {"near": "a", "within": 0.999},
        ]
        counts = [(await posted(runtime, FORGET, dry_run=True, **each)).body["matched"] for each in tries]
        assert counts == [1, 3, 0, 3, 0, 3, 0, 1]
        made = await posted(runtime, FORGET, tag="x")
        assert (made.status, made.body) == (200, {"dry_run": False, "dropped": 1, "workers": 0, "answered": 0})
        assert len(await kept(runtime)) == 2
        made = await posted(runtime, FORGET, near="a", within=0.999)
        assert made.body["dropped"] == 1
        assert [entry.question for entry in await kept(runtime)] == ["c"]


async def test_a_wrong_hit_over_http() -> None:
    async with started() as runtime:
        first, again = chat("one"), chat("one")
        await ask(runtime, first)
        await ask(runtime, again)
        assert (await posted(runtime, FORGET, request_id=again.id, dry_run=True)).body["matched"] == 1
        assert (await posted(runtime, FORGET, request_id=again.id)).body["dropped"] == 1
        assert await ask(runtime, chat("one")) == "miss"
        assert (await posted(runtime, FORGET, request_id="unknown")).status == 404


async def test_a_pair_that_a_wrong_hit_was_never_matches_again() -> None:
    async with started() as runtime:
        runtime.state.explain("fb-1", 1.0, {"decisions": [JUDGED, SERVED]})
        await posted(runtime, FORGET, request_id="fb-1", dry_run=True)
        assert not runtime.refused.holds("q", "e")
        await posted(runtime, FORGET, request_id="fb-1")
        assert runtime.refused.holds("q", "e")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (FORGET, []),
        (FORGET, {}),
        (FORGET, None),
        (FORGET, {"colour": "red"}),
        (FORGET, {"tag": "x", "dry_runs": True}),
        (FORGET, {"tag": None}),
        (FORGET, {"tag": "not plain"}),
        (FORGET, {"tag": "x", "dry_run": 1}),
        (FORGET, {"id": 1}),
        (FORGET, {"id": "a", "request_id": "b"}),
        (FORGET, {"older_than_s": -1}),
        (FORGET, {"older_than_s": "1"}),
        (FORGET, {"near": "x"}),
        (FORGET, {"near": "x", "within": 2}),
        (FORGET, {"near": "x", "within": True}),
        (FORGET, {"system": " "}),
        (BUMP, {"tenants": "a"}),
        (BUMP, {"tenant": ["a"]}),
    ],
)
async def test_a_call_that_is_not_understood_drops_nothing(path: str, body: Any) -> None:
    async with started() as runtime:
        await ask(runtime, chat("one"))
        made = await call(runtime, path, body)
        assert made.status == 400
        assert made.body["error"]
        assert len(await kept(runtime)) == 1
        assert not runtime.state.epochs()


async def test_bumping_over_http() -> None:
    async with started() as runtime:
        made = await posted(runtime, BUMP, tenant="tests")
        assert made.body == {"bumped": "tenant", "workers": 0, "answered": 0}
        assert runtime.epochs.of(runtime.keyring.digest("tenant", "tests")) > 0
        assert runtime.epochs.of(runtime.keyring.digest("tenant", "other")) == 0
        assert (await call(runtime, BUMP, None)).body["bumped"] == "everything"
        assert runtime.epochs.of(runtime.keyring.digest("tenant", "other")) > 0


async def test_a_store_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started() as runtime:

        async def fails(selector: Selector) -> int:
            raise OSError("gone")

        monkeypatch.setattr(runtime.keeper.store, "delete", fails)
        made = await posted(runtime, FORGET, model="x")
        assert (made.status, made.body) == (503, {"error": "gone"})


# the system prompt


def test_the_system_prompt_has_one_digest_wherever_it_stands() -> None:
    from forebay.middleware.keys import Keyring
    from forebay.middleware.records import Request

    keyring = Keyring.from_secret("a secret for tests")
    expected = system_digest(keyring, "be brief")
    asked = {"role": "user", "content": "hello"}

    def of(*messages: Any, **params: Any) -> str:
        return make_key(Request("r", "m", [*messages, asked], params=params), keyring).system

    assert of({"role": "system", "content": " be brief\r\n"}) == expected
    assert of({"role": "developer", "content": [{"type": "text", "text": "be brief"}]}) == expected
    assert of(system="be brief") == of(instructions="be brief") == expected
    assert of(system=[{"type": "text", "text": "be brief"}]) == expected
    assert of({"role": "system", "content": "be"}, {"role": "system", "content": "brief"}) == system_digest(
        keyring, "be\nbrief"
    )
    assert of() == of({"role": "system", "content": " "}) == ""
    assert of({"role": "system", "content": "be long"}) != expected


# erasure


def test_erasure_takes_what_is_the_tenants_and_nothing_else(state: StateStore) -> None:
    mine, other = digest("mine"), digest("other")
    state.explain("r1", 1.0, {"tenant": mine, "decisions": []})
    state.explain("r2", 1.0, {"tenant": other, "decisions": [{"entry": "e1"}]})
    state.explain("r3", 1.0, {"decisions": [{"entry": "e1"}]})  # of a version that did not note the tenant
    state.explain("r4", 1.0, {"decisions": [{"entry": "e2"}]})
    for key in ("mine", "shared"):
        for day in ("2026-01-01", "2026-01-02"):
            state.count_saved((day, key, "team", "m"), hit=True, tokens=1, usd=0.0)
    pairs = RefusedPairs(state)
    pairs.add("q", "e1")
    pairs.add("q", "e2")
    state.flush()
    erased = erase_state(state, mine, {"e1"}, {"mine"})
    assert (erased.explanations, erased.refused_pairs, erased.savings) == (2, 1, 2)
    left = [state.explanation(f"r{number}") is not None for number in (1, 2, 3, 4)]
    assert left == [False, True, False, True]
    assert [row[0] for row in state.saved("key", "")] == ["shared"]
    again = RefusedPairs(state)
    assert (again.holds("q", "e1"), again.holds("q", "e2")) == (False, True)


@pytest.mark.parametrize(
    ("tenant", "keys"),
    [
        ("team=a|key=" + "ab" * 32, {"abababababab"}),
        ("0123456789abcdef" * 2, {"0123456789ab"}),
        ("team=a", set[str]()),
        ("acme-corporation", set[str]()),
        ("", set[str]()),
    ],
)
def test_labels_that_are_a_tenants_own(tenant: str, keys: set[str]) -> None:
    assert keys_of(tenant) == keys
