from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.milvus.vectors import VectorGroups
from tests.contract.entries import DIMENSION, EMBEDDER, key_of, make_entry

if TYPE_CHECKING:
    from forebay.adapters.milvus.store import MilvusStore

GROUP = ("scope", "", "embedder")
OTHER = ("other", "", "embedder")
Vec = tuple[float, float]
angles = st.integers(0, 359).map(lambda degrees: (math.cos(math.radians(degrees)), math.sin(math.radians(degrees))))


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | angles), max_size=150), angles, st.integers(1, 9))
def test_a_group_holds_what_was_put_last_and_the_nearest_come_first(
    writes: list[tuple[int, Vec | None]], asked: Vec, limit: int
) -> None:
    groups = VectorGroups()
    groups.load(GROUP, ["0"], [(1.0, 0.0)])
    kept: dict[str, Vec] = {"0": (1.0, 0.0)}
    for at, vector in writes:
        groups.put(str(at), GROUP, vector)
        kept.pop(str(at), None)
        if vector is not None:
            kept[str(at)] = vector
    found = groups.search(GROUP, asked, limit)
    assert found is not None
    cosines = {name: asked[0] * vector[0] + asked[1] * vector[1] for name, vector in kept.items()}
    assert len(found) == min(limit, len(kept))
    assert [round(cosine, 4) for _, cosine in found] == [
        round(cosine, 4) for cosine in sorted(cosines.values(), reverse=True)[:limit]
    ]
    assert all(abs(cosines[name] - cosine) < 1e-5 for name, cosine in found)


def test_more_than_the_first_room_is_kept() -> None:
    groups = VectorGroups()
    groups.load(GROUP, [str(at) for at in range(500)], [(1.0, float(at)) for at in range(500)])
    found = groups.search(GROUP, (1.0, 300.0), 500)
    assert found is not None
    assert len({name for name, _ in found}) == 500


def test_the_group_not_searched_for_longest_goes_first() -> None:
    groups = VectorGroups(most=3)
    groups.load(GROUP, ["a", "b"], [(1.0, 0.0), (0.0, 1.0)])
    groups.load(OTHER, ["c"], [(1.0, 0.0)])
    assert groups.search(GROUP, (1.0, 0.0), 1) is not None
    groups.load(("third", "", "embedder"), ["d"], [(1.0, 0.0)])
    assert groups.search(OTHER, (1.0, 0.0), 1) is None
    assert groups.search(GROUP, (1.0, 0.0), 1) == [("a", 1.0)]


def test_an_entry_moves_from_group_to_group_and_goes() -> None:
    groups = VectorGroups()
    groups.load(GROUP, ["a"], [(3.0, 0.0)])
    groups.load(OTHER, [], [])
    groups.put("a", OTHER, (1.0, 0.0))
    assert groups.search(GROUP, (1.0, 0.0), 1) == []
    assert groups.search(OTHER, (2.0, 0.0), 1) == [("a", 1.0)]
    groups.remove("a")
    assert groups.search(OTHER, (2.0, 0.0), 1) == []
    groups.clear()
    assert groups.search(OTHER, (2.0, 0.0), 1) is None


async def test_a_group_is_read_once_and_a_write_is_found(store: MilvusStore, asked: list[str]) -> None:
    first = make_entry(question="first")
    await store.put(first)
    asked.clear()
    vector = (1.0,) + (0.0,) * (DIMENSION - 1)
    for question in ("second", "third"):
        found = await store.search(key_of(first), vector, EMBEDDER, 9)
        assert found[0].entry.question in ("first", "second")
        assert store._alone is not None  # pyright: ignore[reportPrivateUsage]
        await store._alone.read()  # pyright: ignore[reportPrivateUsage]
        await store.put(make_entry(question=question))
    found = await store.search(key_of(first), vector, EMBEDDER, 9)
    assert {candidate.entry.question for candidate in found} == {"first", "second", "third"}
    assert asked.count("search") == 1
