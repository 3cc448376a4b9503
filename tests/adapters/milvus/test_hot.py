from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.adapters.milvus.hot import HotEntries
from tests.contract.entries import make_entry

if TYPE_CHECKING:
    from forebay.adapters.milvus.store import MilvusStore
    from forebay.middleware.records import Entry


def entry(name: str, size: int = 10) -> Entry:
    return replace(make_entry(question=name), id=name, size_bytes=size)


def test_the_least_recently_used_goes_first_and_what_is_too_large_is_not_kept() -> None:
    hot = HotEntries(most_bytes=30)
    for name in "abc":
        hot.read(entry(name), 0)
    assert hot.get("a") is not None
    hot.read(entry("d"), 0)
    hot.read(entry("huge", 31), 0)
    assert [name for name in "abcd" if hot.get(name) is not None] == ["a", "c", "d"]
    hot.read(entry("a", 20), 0)
    assert [name for name in "abcd" if hot.get(name) is not None] == ["a", "d"]
    assert hot.get("huge") is None


def test_a_read_that_a_write_overtook_is_not_kept() -> None:
    hot = HotEntries()
    version = hot.version
    hot.changed("a")
    hot.read(entry("a"), version)
    assert hot.get("a") is None
    hot.read(entry("a"), hot.version)
    assert hot.get("a") is not None
    hot.changed()
    assert hot.get("a") is None


async def test_a_second_read_asks_nobody_and_a_write_is_seen(store: MilvusStore, asked: list[str]) -> None:
    old = make_entry()
    await store.put(old)
    await store.get(old.id)
    asked.clear()
    first = await store.get(old.id)
    assert first is not None
    assert asked == []
    new = replace(old, expires_s=old.expires_s + 1.0)
    await store.put(new)
    again = await store.get(old.id)
    assert again is not None
    assert (first.expires_s, again.expires_s) == (old.expires_s, new.expires_s)
    assert asked == ["upsert"]
