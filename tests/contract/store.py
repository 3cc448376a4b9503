"""What every store must do: subclass `StoreContract` and give it a fixture `store`, started and empty.

The store's embedder makes vectors of `DIMENSION` floats.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from forebay.middleware.epochs import packed
from forebay.middleware.errors import StoreError
from forebay.middleware.protocols import Scannable, Store
from forebay.middleware.records import LEANING, Entry, Query, Selector
from tests.contract.entries import ALONG, DIMENSION, EMBEDDER, digest, key_of, make_answer, make_entry, query_of

SIDEWAYS = (0.0, 1.0, 0.0, 0.0)

HOSTILE = [
    '" or id != "',
    "' or 1 == 1 or '",
    '"] or id in ["',
    'x" || scope like "%',
    "x\\",
    '\\" or true or \\"',
    "{scope}",
    "{id}",
    "{{scope}}",
    "%",
    "_%",
    "*",
    "",
    " ",
    "a\nb",
    "a\x00b",
    "\ud800",
    "漢字 🙂",
    "id != ''",
    'x"; drop collection forebay_v1; --',
    "x" * 70_000,
    "sha256:" + digest("x"),
]

SELECTORS: list[tuple[Selector, set[str]]] = [
    (Selector(id=digest("one")), {"one"}),
    (Selector(scope=digest("s1")), {"one", "two"}),
    (Selector(tenant=digest("t2")), {"two", "three"}),
    (Selector(model="m/2"), {"two", "four"}),
    (Selector(expired_at_s=20.0), {"one", "two"}),
    (Selector(scope=digest("s1"), tenant=digest("t2")), {"two"}),
    (Selector(id=digest("one"), model="m/2"), set()),
    (Selector(tenant=digest("t2"), expired_at_s=25.0), {"two"}),
    (Selector(tag="tag-of-one"), {"one"}),
    (Selector(tag="all"), {"one", "two", "three", "four"}),
    (Selector(tag="al"), set()),
    (Selector(version="m/1-2026"), {"one", "three"}),
    (Selector(system=digest("prompt s1")), {"one", "two"}),
    (Selector(created_before_s=20.5), {"one", "two"}),
    (Selector(created_before_s=20.0), {"one"}),
    (Selector(created_before_s=31.0), {"one", "two", "three"}),
    (Selector(tenant=digest("t2"), epoch=30), {"two"}),
    (Selector(epoch=packed(1, 0)), {"one", "two", "three", "four"}),
    (Selector(model="m/2", tag="all", created_before_s=25.0), {"two"}),
    (Selector(tag="all", version="m/1-2026", system=digest("prompt s2")), {"three"}),
    (Selector(id=digest("one"), tag="tag-of-two"), set()),
    (Selector(), {"one", "two", "three", "four"}),
]


def assert_same(found: Entry | None, kept: Entry) -> None:
    """All is equal but the size, which is the store's own, and the vectors, which may be rounded to float32."""
    assert found is not None
    bare: dict[str, Any] = {"vector": None, "context_vector": None, "size_bytes": 0}
    assert replace(found, **bare) == replace(kept, **bare)
    assert found.size_bytes > 0
    for here, there in ((found.vector, kept.vector), (found.context_vector, kept.context_vector)):
        if there is None:
            assert here is None
        else:
            assert here is not None
            assert list(here) == pytest.approx(list(there), abs=1e-6)


async def listed(store: Scannable, selector: Selector) -> set[str]:
    return {entry.question async for entry in store.scan(selector)}


async def fill(store: Store) -> None:
    """Put the four entries that `SELECTORS` is about."""
    for question, scope, tenant, model, expires in (
        ("one", "s1", "t1", "m/1", 10.0),
        ("two", "s1", "t2", "m/2", 20.0),
        ("three", "s2", "t2", "m/1", 30.0),
        ("four", "s3", "t3", "m/2", 40.0),
    ):
        entry = make_entry(
            id=digest(question),
            question=question,
            scope=digest(scope),
            tenant=digest(tenant),
            model=model,
            created_s=expires,
            expires_s=expires,
            tags=("all", f"tag-of-{question}"),
            epoch=int(expires),
            system=digest(f"prompt {scope}"),
            answer=replace(make_answer(), body={"model": f"{model}-2026", **make_answer().body}),
        )
        await store.put(entry)


class StoreContract:
    async def test_satisfies_the_protocols(self, store: Any) -> None:
        assert isinstance(store, Store)
        assert isinstance(store, Scannable)

    async def test_get_returns_what_was_put(self, store: Store) -> None:
        entry = make_entry(vector=(0.5, 0.5, -0.5, 0.5), context=digest("turns"))
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)

    async def test_get_of_an_unknown_id(self, store: Store) -> None:
        await store.put(make_entry())
        assert await store.get(digest("unknown")) is None

    async def test_put_replaces_the_entry_with_the_same_id(self, store: Store) -> None:
        first = make_entry(scope=digest("before"), vector=(1.0, 0.0, 0.0, 0.0))
        second = replace(first, scope=digest("after"), vector=(0.0, 1.0, 0.0, 0.0), answer=make_answer("newer"))
        await store.put(first)
        await store.put(second)
        assert_same(await store.get(first.id), second)
        assert [await store.count(), await store.count(first.scope), await store.count(second.scope)] == [1, 0, 1]
        assert not await store.search(query_of(first))
        (found,) = await store.search(query_of(second))
        assert found.similarity == pytest.approx(0.0, abs=1e-6)

    async def test_search_stays_in_scope_context_and_embedder(self, store: Store) -> None:
        here = make_entry(question="here", context=digest("turns"))
        await store.put(here)
        await store.put(replace(here, id=digest("1"), question="other scope", scope=digest("elsewhere")))
        await store.put(replace(here, id=digest("2"), question="other context", context=""))
        await store.put(replace(here, id=digest("3"), question="other embedder", embedder="words@2"))
        found = await store.search(query_of(here))
        assert [candidate.entry.question for candidate in found] == ["here"]
        assert_same(found[0].entry, here)

    async def test_readings_are_compared_and_other_contexts_must_be_equal(self, store: Store) -> None:
        bare = make_entry(question="stands alone")
        unread = make_entry(question="unread", context=digest("turns"))
        read = make_entry(question="read", context=digest("a reading"), reading="flights", context_vector=ALONG)
        other = make_entry(question="other", context=digest("another"), reading="trains", context_vector=SIDEWAYS)
        never = make_entry(question="never embedded", context=digest("a third"), reading="boats")
        for entry in (bare, unread, read, other, never):
            await store.put(entry)
            assert_same(await store.get(entry.id), entry)
        assert [found.entry.question for found in await store.search(query_of(bare))] == ["stands alone"]
        assert [found.entry.question for found in await store.search(query_of(unread))] == ["unread"]
        found = await store.search(query_of(never, context=ALONG))
        assert [candidate.entry.question for candidate in found] == ["read", "other"]
        assert [candidate.context_similarity for candidate in found] == pytest.approx([1.0, 0.0], abs=1e-5)
        assert [candidate.similarity for candidate in found] == pytest.approx([1.0, 1.0], abs=1e-5)
        assert {candidate.entry.comparable for candidate in found} == {LEANING}
        assert not await store.search(query_of(read))  # its reading was not embedded

    async def test_with_readings_the_nearest_has_the_highest_mean(self, store: Store) -> None:
        asked = make_entry(context=digest("asked"), reading="asked")
        angles = {"both near": (0.3, 0.3), "question near": (0.0, 1.2), "context near": (1.3, 0.0), "far": (2.0, 2.0)}
        for question, (turned, shifted) in angles.items():
            entry = make_entry(
                question=question,
                context=digest(question),
                reading=question,
                vector=(math.cos(turned), math.sin(turned), 0.0, 0.0),
                context_vector=(math.cos(shifted), 0.0, math.sin(shifted), 0.0),
            )
            await store.put(entry)
        for limit in (1, 3, 4):
            found = await store.search(query_of(asked, limit=limit, context=ALONG))
            assert [candidate.entry.question for candidate in found] == list(angles)[:limit]
        expected = [(math.cos(turned), math.cos(shifted)) for turned, shifted in angles.values()]
        scores = [(candidate.similarity, candidate.context_similarity) for candidate in found]
        assert scores == [pytest.approx(pair, abs=1e-5) for pair in expected]

    async def test_search_is_best_first_with_cosine_similarity(self, store: Store) -> None:
        angles = {"same": 0.0, "near": 0.3, "far": 1.2, "right angle": math.pi / 2, "opposite": math.pi}
        for question in ("far", "opposite", "same", "right angle", "near"):
            vector = (math.cos(angles[question]), math.sin(angles[question]), 0.0, 0.0)
            await store.put(make_entry(question=question, vector=vector))
        found = await store.search(query_of(make_entry(), limit=10))
        assert [candidate.entry.question for candidate in found] == list(angles)
        assert [candidate.similarity for candidate in found] == pytest.approx(
            [math.cos(angle) for angle in angles.values()], abs=1e-5
        )
        assert all(-1.0 <= candidate.similarity <= 1.0 for candidate in found)

    async def test_search_returns_at_most_the_limit(self, store: Store) -> None:
        for index in range(6):
            await store.put(make_entry(question=f"{index}", vector=(1.0, index / 10, 0.0, 0.0)))
        found = await store.search(query_of(make_entry(), limit=2))
        assert [candidate.entry.question for candidate in found] == ["0", "1"]
        assert not await store.search(query_of(make_entry(), limit=0))

    async def test_an_entry_without_a_vector_is_kept_and_never_found_by_search(self, store: Store) -> None:
        never = make_entry(question="never embedded", vector=None, embedder="")
        zeros = make_entry(question="no direction", vector=(0.0,) * DIMENSION)
        await store.put(never)
        await store.put(zeros)
        assert_same(await store.get(never.id), never)
        assert await store.get(zeros.id) is not None
        for embedder in ("", EMBEDDER):
            assert not await store.search(query_of(never, embedder=embedder))
        assert not await store.search(query_of(never, (0.0,) * DIMENSION))

    async def test_expired_entries_are_still_returned(self, store: Store) -> None:
        entry = make_entry(expires_s=1.0)
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)
        assert len(await store.search(query_of(entry))) == 1

    @pytest.mark.parametrize(("selector", "selected"), SELECTORS)
    async def test_scan_and_delete_by_selector(self, store: Any, selector: Selector, selected: set[str]) -> None:
        await fill(store)
        assert await listed(store, selector) == selected
        assert await store.delete(selector) == len(selected)
        assert await listed(store, Selector()) == {"one", "two", "three", "four"} - selected
        assert await store.delete(selector) == 0

    async def test_what_was_deleted_is_gone_at_once(self, store: Store) -> None:
        entry = make_entry()
        await store.put(entry)
        await store.delete(Selector(id=entry.id))
        assert await store.get(entry.id) is None
        assert not await store.search(query_of(entry))
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)

    async def test_count_follows_every_change(self, store: Store) -> None:
        scopes = [digest("s1"), digest("s2"), digest("s3"), digest("unknown"), None]
        assert [await store.count(scope) for scope in scopes] == [0, 0, 0, 0, 0]
        await fill(store)
        assert [await store.count(scope) for scope in scopes] == [2, 1, 1, 0, 4]
        await store.delete(Selector(tenant=digest("t2")))
        assert [await store.count(scope) for scope in scopes] == [1, 0, 1, 0, 2]
        await store.delete(Selector())
        assert [await store.count(scope) for scope in scopes] == [0, 0, 0, 0, 0]

    async def test_a_scan_may_delete_what_it_yields(self, store: Any) -> None:
        await fill(store)
        async for entry in store.scan(Selector()):
            await store.delete(Selector(id=entry.id))
        assert await store.count() == 0

    async def test_more_entries_than_a_page(self, store: Any) -> None:
        questions = {f"{index}" for index in range(205)}
        for question in questions:
            await store.put(make_entry(question=question))
        assert await listed(store, Selector(scope=digest("scope"))) == questions

    @pytest.mark.parametrize("text", ["naïve 漢字 🙂", "lone \ud83d surrogate \udc00", '"quoted" \\ \n\t\0', ""])
    async def test_any_text_comes_back_as_it_was(self, store: Store, text: str) -> None:
        entry = make_entry(question=text, answer=make_answer(text), model=text, tags=(text,))
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)
        assert await store.delete(Selector(model=text)) == 1

    async def test_an_answer_of_100_kb(self, store: Store) -> None:
        text = " ".join(f"Sentence {index} of a long answer about forebays and turbines." for index in range(1800))
        assert len(text) > 100_000
        entry = make_entry(answer=make_answer(text))
        await store.put(entry)
        assert_same(await store.get(entry.id), entry)
        (found,) = await store.search(query_of(entry, limit=1))
        assert_same(found.entry, entry)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    async def test_a_vector_that_is_not_finite_is_refused(self, store: Store, value: float) -> None:
        with pytest.raises(StoreError, match="embedder"):
            await store.put(make_entry(vector=(value, 0.0, 0.0, 0.0)))
        assert await store.count() == 0

    async def test_concurrent_puts_lose_nothing(self, store: Any) -> None:
        entries = [make_entry(question=f"{index % 40}", cost=float(index)) for index in range(80)]
        await asyncio.gather(*(store.put(entry) for entry in entries))
        assert [await store.count(), await store.count(digest("scope"))] == [40, 40]
        assert await listed(store, Selector()) == {f"{index}" for index in range(40)}

    async def test_hostile_selectors_match_nothing(self, store: Any) -> None:
        await fill(store)
        for text in HOSTILE:
            for field in ("id", "scope", "tenant", "model", "tag", "version", "system"):
                restriction: dict[str, Any] = {field: text}
                selector = Selector(**restriction)
                assert await listed(store, selector) == set(), (field, text[:20])
                assert await store.delete(selector) == 0, (field, text[:20])
            assert await store.get(text) is None
            assert await store.count(text) == 0
            key = replace(key_of(make_entry()), scope=text, context=text)
            assert not await store.search(Query(key, ALONG, text, 5))
        assert await store.count() == 4
