from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.adapters.hot.entries import HotEntries, memory_of
from tests.contract.entries import make_entry

if TYPE_CHECKING:
    from forebay.middleware.records import Entry


def entry(name: str, size: int = 0) -> Entry:
    return replace(make_entry(question=name), id=name, size_bytes=size)


ONE = memory_of(entry("one"))


def kept(hot: HotEntries, names: str) -> list[str]:
    return [name for name in names if hot.get(name) is not None]


def test_the_least_recently_used_goes_first_and_what_is_too_large_is_not_kept() -> None:
    hot = HotEntries(most_bytes=3 * ONE)
    for name in "abc":
        hot.read(entry(name), 0)
    assert hot.get("a") is not None
    hot.read(entry("d"), 0)
    hot.read(entry("huge", 3 * ONE), 0)
    assert kept(hot, "abcd") == ["a", "c", "d"]
    hot.read(entry("a", ONE), 0)
    assert kept(hot, "abcd") == ["a", "d"]
    assert hot.get("huge") is None
    assert len(hot) == 2


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


def test_what_nobody_asked_for_takes_free_room_only() -> None:
    hot = HotEntries(most_bytes=2 * ONE)
    hot.read(entry("a"), 0)
    for name in "bc":
        hot.warm(entry(name))
    assert kept(hot, "abc") == ["a", "b"]


def test_vectors_count() -> None:
    plain = make_entry(vector=None)
    assert memory_of(replace(plain, vector=(0.5,) * 384)) - memory_of(plain) == 4 * 384
    assert memory_of(replace(plain, context_vector=(0.5,) * 384)) - memory_of(plain) == 4 * 384
