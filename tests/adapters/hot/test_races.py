"""Writes, deletions, failures and reads at once, while it is being filled: then memory is what the store is."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.errors import StoreError
from forebay.middleware.records import Selector
from tests.contract.entries import digest, make_answer, make_entry, query_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.middleware.records import Candidate, Entry, Query

SCOPES = [digest(f"scope {at}") for at in range(3)]
NAMES = [f"entry {at}" for at in range(30)]


class TurningStore(MemoryStore):
    """Lets others have their turn before and after whatever it does; some writes fail after they were done."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.failing = True

    async def turns(self, *, write: bool = False) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        if write and self.failing and self._chance.random() < 0.1:
            raise StoreError("no answer in time")

    async def get(self, entry_id: str) -> Entry | None:
        await self.turns()
        found = await super().get(entry_id)
        await self.turns()
        return found

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        await self.turns()
        found = await super().get_many(entry_ids)
        await self.turns()
        return found

    async def search(self, query: Query) -> Sequence[Candidate]:
        await self.turns()
        return await super().search(query)

    async def put(self, entry: Entry) -> None:
        await self.turns()
        await super().put(entry)
        await self.turns(write=True)

    async def delete(self, selector: Selector) -> int:
        await self.turns()
        deleted = await super().delete(selector)
        await self.turns(write=True)
        return deleted

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        read = [entry async for entry in super().scan(selector)]
        for entry in read:
            for _ in range(5):
                await self.turns()
            yield entry


def some_entry(chance: random.Random, version: int) -> Entry:
    name = chance.choice(NAMES)
    return make_entry(
        id=digest(name),
        question=name,
        scope=chance.choice(SCOPES),
        model=chance.choice(["a", "b"]),
        vector=(chance.uniform(-1, 1), chance.uniform(-1, 1), 1.0, 0.0),
        answer=make_answer(f"{version}"),
    )


@pytest.mark.parametrize("max_bytes", [0, 4_000, 1 << 20])
@pytest.mark.parametrize("seed", range(30))
async def test_memory_is_what_the_store_is(seed: int, max_bytes: int) -> None:
    chance = random.Random(seed)
    store = TurningStore(chance)
    for version in range(30):
        await MemoryStore.put(store, some_entry(chance, -version))
    tier = HotTier(store, max_bytes=max_bytes)
    await tier.start()

    async def act(version: int) -> None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        entry = some_entry(chance, version)
        with suppress(StoreError):
            match chance.randrange(10):
                case 0 | 1 | 2:
                    await tier.put(entry)
                case 3:
                    await tier.delete(Selector(id=entry.id))
                case 4:
                    await tier.delete(Selector(scope=entry.scope, model=entry.model))
                case 5 | 6 | 7:
                    await tier.get(entry.id)
                case 8:
                    await tier.count(entry.scope)
                case _:
                    await tier.search(query_of(entry, entry.vector or ()))

    if seed % 2:
        await tier.settled()
    await asyncio.gather(*(act(at) for at in range(30)))
    store.failing = False
    await tier.settled()
    kept = [entry async for entry in MemoryStore.scan(store, Selector())]
    assert await tier.count() == len(kept)
    for scope in SCOPES:
        assert await tier.count(scope) == sum(entry.scope == scope for entry in kept)
    by_id = {entry.id: entry for entry in kept}
    for name in NAMES:
        found, there = await tier.get(digest(name)), by_id.get(digest(name))
        assert (found and found.answer) == (there and there.answer)
    for scope in SCOPES:
        query = query_of(make_entry(scope=scope), (0.0, 0.0, 1.0, 0.0), limit=20)
        mine, expected = await tier.search(query), await MemoryStore.search(store, query)
        assert [each.entry.answer for each in mine] == [each.entry.answer for each in expected]
        assert [each.similarity for each in mine] == pytest.approx([each.similarity for each in expected], abs=1e-6)
    await tier.stop()
