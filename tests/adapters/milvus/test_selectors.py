"""What Milvus finds by columns and by reading is what the same selectors match."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from forebay.middleware.epochs import packed
from forebay.middleware.forgotten import matches
from forebay.middleware.records import Answer, Entry, Selector
from tests.contract.entries import digest, make_entry

if TYPE_CHECKING:
    from forebay.adapters.milvus.store import MilvusStore

ENTRIES = 120
ROUNDS = 60


def any_entry(draw: random.Random, number: int) -> Entry:
    return make_entry(
        question=f"{number}",
        tenant=draw.choice("ab"),
        model=draw.choice("mn"),
        created_s=float(draw.randrange(5)),
        expires_s=float(draw.randrange(5, 10)),
        grace_s=float(draw.choice((0, 2))),
        tags=tuple(tag for tag in "xyz" if draw.random() < 0.4),
        system=draw.choice(("", digest("p"), digest("q"))),
        epoch=packed(draw.randrange(3), draw.randrange(3)),
        answer=Answer({"model": draw.choice(("v1", "v2"))} if draw.random() < 0.9 else {}),
    )


def any_selector(draw: random.Random) -> Selector:
    choices: dict[str, Any] = {
        "tenant": draw.choice("ab"),
        "model": draw.choice("mn"),
        "expired_at_s": float(draw.randrange(4, 12)),
        "tag": draw.choice("xyzw"),
        "system": draw.choice(("", digest("p"), digest("r"))),
        "version": draw.choice(("v1", "v2", "v3")),
        "created_before_s": float(draw.randrange(6)),
        "epoch": packed(draw.randrange(4), draw.randrange(4)),
    }
    return Selector(**{name: value for name, value in choices.items() if draw.random() < 0.3})


async def test_any_selector_finds_and_deletes_what_it_matches(store: MilvusStore) -> None:
    draw = random.Random(1)
    kept = [any_entry(draw, number) for number in range(ENTRIES)]
    for entry in kept:
        await store.put(entry)
    narrow = 0
    for _ in range(ROUNDS):
        selector = any_selector(draw)
        expected = {entry.id for entry in kept if matches(selector, entry)}
        assert {entry.id async for entry in store.scan(selector)} == expected, selector
        if len(expected) <= 8:  # so that some are left for the others
            narrow += bool(expected)
            assert await store.delete(selector) == len(expected), selector
            kept = [entry for entry in kept if entry.id not in expected]
    assert narrow > 3
    assert await store.count() == len(kept)
    assert store.damaged == 0


async def test_more_than_a_page_is_deleted_by_what_only_payloads_tell(store: MilvusStore) -> None:
    for number in range(60):
        await store.put(make_entry(question=f"{number}", tags=("odd",) if number % 2 else ()))
    assert await store.delete(Selector(tag="odd")) == 30
    assert await store.delete(Selector(tag="odd")) == 0
    assert await store.count() == 30
