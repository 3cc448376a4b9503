"""One store, its eviction policy, its breaker and its deadlines."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.breaker import Breaker, OpenError
from forebay.middleware.errors import ForebayError, PayloadError, StoreError
from forebay.middleware.events import Evicted, Health
from forebay.middleware.keeper import Keeper
from forebay.middleware.records import EVERYTHING, Entry, Query, Selector
from forebay.middleware.telemetry import Telemetry
from tests.contract.entries import EMBEDDER, key_of, make_entry
from tests.middleware.parts import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

NOW = 1_000.0


class Newest:
    """Keeps the newest so many; notes what it is told."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.ids: list[str] = []
        self.touches: list[str] = []

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:
        self.removed(entry_id)
        self.ids.append(entry_id)
        dropped, self.ids = self.ids[: -self.most], self.ids[-self.most :]
        return dropped

    def touched(self, entry_id: str, now_s: float) -> None:
        self.touches.append(entry_id)

    def removed(self, entry_id: str) -> None:
        if entry_id in self.ids:
            self.ids.remove(entry_id)

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: object) -> None: ...


class Rig:
    def __init__(self, store: Any = None, *, most: int = 100, **options: Any) -> None:
        self.store: Any = store or MemoryStore()
        self.eviction = Newest(most)
        self.clock = FakeClock(NOW)
        self.breaker = Breaker("store", Telemetry(enabled=False), trip_after=2)
        self.keeper = Keeper(self.store, self.eviction, self.breaker, clock=self.clock, **options)


def entry(question: str = "q", **fields: Any) -> Entry:
    return make_entry(question=question, created_s=NOW, expires_s=NOW + 60.0, **fields)


async def test_what_is_kept_is_found() -> None:
    rig = Rig()
    kept = entry()
    assert not await rig.keeper.knows(key_of(kept))
    assert await rig.keeper.put(kept) == []
    assert await rig.keeper.knows(key_of(kept))
    assert await rig.keeper.get(key_of(kept)) == kept
    assert rig.eviction.ids == [kept.id]
    rig.keeper.touched(kept)
    assert rig.eviction.touches == [kept.id]


async def test_what_has_expired_is_found_by_neither_tier() -> None:
    rig = Rig()
    kept = entry()
    await rig.keeper.put(kept)
    vector = kept.vector
    assert vector is not None
    rig.clock.now_s += 59.9
    assert await rig.keeper.get(key_of(kept)) == kept
    assert len(await rig.keeper.search(Query(key_of(kept), vector, EMBEDDER, 5))) == 1
    rig.clock.now_s += 0.1
    assert await rig.keeper.get(key_of(kept)) is None
    assert await rig.keeper.search(Query(key_of(kept), vector, EMBEDDER, 5)) == []


class Careless(MemoryStore):
    """Finds whatever it has, whoever asks."""

    async def get(self, entry_id: str) -> Entry | None:
        return next(iter(self._entries.values()))

    async def search(self, query: Query) -> Any:
        from forebay.middleware.records import Candidate

        return [Candidate(found, 1.0) for found in self._entries.values()]


@pytest.mark.parametrize(
    "fields",
    [{"scope": "other"}, {"context": "other"}, {"embedder": "other@1"}, {"context": "other", "reading": "other"}],
)
async def test_an_entry_of_another_scope_context_or_embedder_is_never_handed_out(fields: dict[str, str]) -> None:
    rig = Rig(Careless())
    await rig.keeper.put(entry(**fields))
    asked = key_of(entry())
    if "embedder" not in fields:
        assert await rig.keeper.get(asked) is None
    assert await rig.keeper.search(Query(asked, (1.0, 0.0, 0.0, 0.0), EMBEDDER, 5)) == []


async def test_what_no_longer_fits_is_dropped_and_told() -> None:
    rig = Rig(most=1)
    first, second = entry("first"), entry("second")
    await rig.keeper.put(first)
    assert await rig.keeper.put(second) == [Evicted(first.id, "capacity")]
    assert await rig.store.count() == 1


@pytest.mark.parametrize(
    "selector", [Selector(id=entry("one").id), Selector(model="m1"), EVERYTHING], ids=["id", "model", "all"]
)
async def test_what_is_forgotten_is_forgotten_by_the_policy_too(selector: Selector) -> None:
    rig = Rig()
    one, two = entry("one", model="m1"), entry("two", model="m2")
    await rig.keeper.put(one)
    await rig.keeper.put(two)
    many = await rig.keeper.forget(selector)
    left = [] if selector == EVERYTHING else [two.id]
    assert many == 2 - len(left)
    assert rig.eviction.ids == left
    assert [found.id async for found in rig.keeper.scan(EVERYTHING)] == left


class Damaged(MemoryStore):
    """Holds an entry that cannot be read."""

    async def get(self, entry_id: str) -> Entry | None:
        raise PayloadError("a kept answer has a wrong signature")


async def test_a_damaged_entry_is_dropped_and_counts_as_none(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(Damaged())
    kept = entry("question-canary")
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            await rig.keeper.put(kept)
            assert await rig.keeper.get(key_of(kept)) is None
            assert await rig.store.count() == 0
    assert rig.keeper.damaged == 5
    assert rig.eviction.ids == []
    assert "wrong signature" in caplog.text
    assert "canary" not in caplog.text


class Down(MemoryStore):
    """Answers nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    async def _fail(self) -> Any:
        self.asked += 1
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error or AssertionError

    async def get(self, entry_id: str) -> Entry | None:
        return await self._fail()  # type: ignore[no-any-return]

    async def count(self, scope: str | None = None) -> int:
        return await self._fail()  # type: ignore[no-any-return]

    async def search(self, query: Query) -> Any:
        return await self._fail()

    async def put(self, entry: Entry) -> None:
        await self._fail()

    async def delete(self, selector: Selector) -> int:
        return await self._fail()  # type: ignore[no-any-return]


@pytest.mark.parametrize("error", [StoreError("down"), RuntimeError("odd"), None], ids=["down", "odd", "hangs"])
async def test_whatever_a_store_does_is_raised_and_after_some_failures_it_is_left_alone(
    error: Exception | None,
) -> None:
    store = Down(error)
    rig = Rig(store, read_deadline_s=0.01, write_deadline_s=0.01)
    kept = entry()
    wanted = TimeoutError if error is None else type(error)
    with pytest.raises(wanted):
        await rig.keeper.get(key_of(kept))
    with pytest.raises(wanted):
        await rig.keeper.put(kept)
    for call in (rig.keeper.knows, rig.keeper.get):
        with pytest.raises(OpenError):
            await call(key_of(kept))
    assert store.asked == 2
    assert rig.eviction.ids == []


async def test_at_start_the_policy_learns_what_the_store_holds_oldest_first() -> None:
    store = MemoryStore()
    kept = [replace(entry(f"q{at}"), created_s=NOW - at) for at in range(4)]
    for each in kept:
        await store.put(each)
    rig = Rig(store, most=3)
    await rig.keeper.start()
    assert rig.eviction.ids == [kept[2].id, kept[1].id, kept[0].id]
    assert await store.count() == 3  # the oldest no longer fits


class Late(MemoryStore):
    """Cannot be opened at first."""

    async def start(self) -> None:
        raise StoreError("not yet")

    async def stop(self) -> None: ...

    async def check_ready(self) -> Sequence[Health]:
        return ()


async def test_a_store_that_comes_back_by_itself_is_learned_from_at_the_first_write() -> None:
    store = Late()
    old = entry("old")
    await store.put(old)
    rig = Rig(store, most=1)
    with pytest.raises(StoreError):
        await rig.keeper.start()
    assert rig.eviction.ids == []
    new = replace(entry("new"), created_s=NOW + 1.0)
    await rig.keeper.put(new)
    assert rig.eviction.ids == [new.id]
    assert [found.id async for found in store.scan(EVERYTHING)] == [new.id]


async def test_what_has_expired_is_dropped_now_and_then_and_told() -> None:
    rig = Rig()
    await rig.keeper.put(entry("first"))  # the first write sweeps
    gone = entry("short")
    await rig.keeper.put(replace(gone, expires_s=NOW + 1.0))
    rig.clock.now_s += 299.0
    assert await rig.keeper.put(replace(entry("later"), expires_s=NOW + 10_000.0)) == []
    rig.clock.now_s += 1.0
    evicted = await rig.keeper.put(replace(entry("last"), expires_s=NOW + 10_000.0))
    assert {(item.entry_id, item.reason) for item in evicted} == {
        (entry("first").id, "expired"),
        (gone.id, "expired"),
    }
    assert rig.eviction.ids == [entry("later").id, entry("last").id]
    assert await rig.store.count() == 2


class Open(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    async def start(self) -> None:
        self.notes.append("start")

    async def stop(self) -> None:
        self.notes.append("stop")

    async def check_ready(self) -> Sequence[Health]:
        return ()


async def test_a_store_that_is_a_component_is_opened_and_closed() -> None:
    store = Open()
    rig = Rig(store)
    await rig.keeper.start()
    await rig.keeper.stop()
    assert store.notes == ["start", "stop"]


class Blind:
    """A store that cannot list its entries."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.get, self.search, self.put = self.inner.get, self.inner.search, self.inner.put
        self.delete, self.count = self.inner.delete, self.inner.count


async def test_a_store_that_cannot_list_its_entries_works_all_the_same() -> None:
    rig = Rig(Blind())
    await rig.keeper.start()
    kept = entry()
    await rig.keeper.put(kept)
    assert await rig.keeper.forget(EVERYTHING) == 1
    with pytest.raises(ForebayError, match="cannot list its entries"):
        rig.keeper.scan(EVERYTHING)
    await rig.keeper.stop()


async def test_scan_yields_what_matches() -> None:
    rig = Rig()
    for at in range(3):
        await rig.keeper.put(entry(f"q{at}", model=f"m{at}"))
    found: AsyncIterator[Entry] = rig.keeper.scan(Selector(model="m1"))
    assert [each.question async for each in found] == ["q1"]
