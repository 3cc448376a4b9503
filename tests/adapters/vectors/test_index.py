"""Both ways of comparing points, and how the index keeps them while others write."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.adapters.vectors import made
from forebay.adapters.vectors.flat import Flat
from forebay.adapters.vectors.graph import Graph
from forebay.adapters.vectors.index import VectorIndex
from forebay.adapters.vectors.made import make_vectors
from forebay.adapters.vectors.plain import PlainVectors
from forebay.middleware.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.adapters.vectors.points import Group, Parts, Vectors

GROUP: Group = ("scope", "", "embedder")
OTHER: Group = ("other", "", "embedder")
KINDS: list[Callable[[], Vectors]] = [
    PlainVectors,
    VectorIndex,
    lambda: VectorIndex(int8=True),
    lambda: VectorIndex(flat_most=8),
]
ROUGH = 0.01
angles = st.integers(0, 359).map(lambda degrees: (math.cos(math.radians(degrees)), math.sin(math.radians(degrees))))
writes = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([GROUP, OTHER]), st.none() | angles), max_size=80)


def nearest(vectors: Vectors, group: Group, parts: Parts, limit: int) -> list[tuple[str, float]]:
    return asyncio.run(vectors.nearest(group, parts, limit))


def random_units(number: int, dimension: int = 16, seed: int = 1) -> Any:
    rows: Any = np.random.default_rng(seed).standard_normal((number, dimension), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
@given(changes=writes, asked=angles, limit=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_group_holds_what_was_put_last_and_the_nearest_come_first(
    kind: Callable[[], Vectors],
    changes: list[tuple[int, Group, tuple[float, float] | None]],
    asked: tuple[float, float],
    limit: int,
) -> None:
    async def run() -> None:
        vectors = kind()
        kept: dict[str, tuple[Group, tuple[float, float]]] = {}
        for at, group, vector in changes:
            if vector is None:
                vectors.remove(f"{at}")
                kept.pop(f"{at}", None)
            else:
                vectors.put(f"{at}", group, (vector,))
                kept[f"{at}"] = (group, vector)
            await asyncio.sleep(0)
        assert all((f"{at}" in vectors) == (f"{at}" in kept) for at in range(13))
        for group in (GROUP, OTHER):
            found = await vectors.nearest(group, (asked,), limit)
            cosines = {
                name: asked[0] * vector[0] + asked[1] * vector[1] for name, (of, vector) in kept.items() if of == group
            }
            assert len({name for name, _ in found}) == len(found) == min(limit, len(cosines))
            best = sorted(cosines.values(), reverse=True)[:limit]
            assert [score for _, score in found] == pytest.approx(best, abs=ROUGH)
            assert all(cosines[name] == pytest.approx(score, abs=ROUGH) for name, score in found)
        await vectors.stop()

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
async def test_two_parts_count_by_the_mean_of_their_cosines(kind: Callable[[], Vectors]) -> None:
    vectors = kind()
    vectors.put("same question", GROUP, ((2.0, 0.0), (0.0, 3.0)))
    vectors.put("same", GROUP, ((1.0, 0.0), (5.0, 0.0)))
    found = await vectors.nearest(GROUP, ((1.0, 0.0), (0.1, 0.0)), 5)
    assert [name for name, _ in found] == ["same", "same question"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.5], abs=ROUGH)
    assert await vectors.nearest(OTHER, ((1.0, 0.0),), 5) == []
    vectors.clear()
    assert await vectors.nearest(GROUP, ((1.0, 0.0), (0.1, 0.0)), 5) == []
    assert "same" not in vectors


@pytest.mark.parametrize("kind", KINDS)
async def test_vectors_of_another_length_are_not_compared(kind: Callable[[], Vectors]) -> None:
    vectors = kind()
    vectors.put("two", GROUP, ((1.0, 0.0),))
    vectors.put("three", GROUP, ((1.0, 0.0, 0.0),))
    assert [name for name, _ in await vectors.nearest(GROUP, ((1.0, 0.0),), 5)] == ["two"]
    with pytest.raises(StoreError, match="embedder"):
        vectors.put("nothing", GROUP, ((math.nan, 0.0),))


@pytest.mark.parametrize("int8", [False, True])
async def test_a_large_group_becomes_a_graph_while_it_is_written_to(*, int8: bool) -> None:
    index = VectorIndex(int8=int8, flat_most=100)
    rows = random_units(1500)
    for at, row in enumerate(rows):
        index.put(f"{at}", GROUP, (row,))
        if at % 5 == 4:
            index.remove(f"{at - 2}")
        if not at % 100:
            await asyncio.sleep(0)  # the graph is being made in between
    await index.settled()
    kept = [at for at in range(1500) if at % 5 != 2]
    assert len(index) == len(kept)
    right = 0
    for at in kept[:200]:
        scores = rows @ rows[at]
        expected = sorted(kept, key=lambda other: -scores[other])[:3]
        found = [int(name) for name, _ in await index.nearest(GROUP, (rows[at],), 3)]
        assert all(other % 5 != 2 for other in found)
        right += found[0] == expected[0]
    assert right >= 196
    await index.stop()


async def test_a_graph_of_which_much_was_removed_is_made_anew() -> None:
    index = VectorIndex(flat_most=100)
    rows = random_units(1000)
    for at, row in enumerate(rows):
        index.put(f"{at}", GROUP, (row,))
    await index.settled()
    for at in range(900):
        index.remove(f"{at}")
    await index.settled()
    points = index._groups[GROUP].points  # pyright: ignore[reportPrivateUsage]
    assert isinstance(points, Graph)
    assert (points.alive, len(points) <= 150) == (100, True)
    for at in range(900, 1000):
        ((name, score),) = await index.nearest(GROUP, (rows[at],), 1)
        assert name == f"{at}"
        assert score == pytest.approx(1.0, abs=1e-5)
    for at in range(900, 1000):
        index.remove(f"{at}")
    assert await index.nearest(GROUP, (rows[0],), 1) == []
    index.put("back", GROUP, (rows[0],))
    assert [name for name, _ in await index.nearest(GROUP, (rows[0],), 1)] == ["back"]
    await index.stop()


async def test_what_was_dropped_while_its_graph_was_made_stays_dropped() -> None:
    index = VectorIndex(flat_most=10)
    rows = random_units(200)
    for at, row in enumerate(rows[:150]):
        index.put(f"{at}", GROUP, (row,))
    await asyncio.sleep(0)
    index.clear()
    index.put("new", GROUP, (rows[150],))
    await index.settled()
    assert [name for name, _ in await index.nearest(GROUP, (rows[0],), 5)] == ["new"]


async def test_a_long_matrix_is_compared_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.adapters.vectors.index._LONG", 50)
    index = VectorIndex(flat_most=1000)
    rows = random_units(200)
    for at, row in enumerate(rows):
        index.put(f"{at}", GROUP, (row,))
    finding = asyncio.create_task(index.nearest(GROUP, (rows[7],), 2))
    await asyncio.sleep(0)
    assert not finding.done()
    assert (await finding)[0][0] == "7"


@pytest.mark.parametrize("int8", [False, True])
def test_rows_come_back(*, int8: bool) -> None:
    rows = random_units(40)
    flat = Flat(16, int8=int8)
    for handle, row in enumerate(rows):
        flat.add(handle, row)
    assert flat.rows(3, 9) == pytest.approx(rows[3:9], abs=ROUGH)
    assert flat.remove(3) == 39
    assert flat.rows(3, 4) == pytest.approx(rows[39:], abs=ROUGH)
    graph = Graph(16, sample=rows if int8 else None)
    graph.extend(rows)
    assert graph.rows(3, 9) == pytest.approx(rows[3:9], abs=ROUGH)


def test_pure_python_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_vectors(), VectorIndex)

    def not_installed(name: str) -> None:
        del name

    monkeypatch.setattr(made, "find_spec", not_installed)
    assert isinstance(make_vectors(), PlainVectors)


async def test_many_points_are_all_compared_in_pure_python() -> None:
    vectors = PlainVectors()
    for at in range(600):
        vectors.put(f"{at}", GROUP, ((1.0, 600.0 - at),))
    assert [name for name, _ in await vectors.nearest(GROUP, ((1.0, 0.0),), 2)] == ["599", "598"]
