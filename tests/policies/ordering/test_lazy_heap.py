from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.ordering.lazy_heap import LazyHeap


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 5))), max_size=300))
def test_the_first_is_the_smallest_of_those_there(steps: list[tuple[int, int | None]]) -> None:
    heap: LazyHeap[int, float] = LazyHeap()
    there: dict[int, tuple[float, int]] = {}
    for turn, (name, key) in enumerate(steps):
        if key is None:
            assert heap.discard(name) == (there.pop(name, None) is not None)
        else:
            heap.add(name, float(key))
            there[name] = (float(key), turn)
        first = min(there, key=lambda one: there[one], default=None)
        assert heap.first() == (None if first is None else (there[first][0], first))
        assert len(heap) == len(there)


def test_what_left_takes_no_room() -> None:
    heap: LazyHeap[int, float] = LazyHeap()
    heap.add(-1, -1.0)
    for number in range(10_000):
        heap.add(number, float(number))
        heap.discard(number)
        assert heap.room <= 3 * len(heap) + 100


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 400)), max_size=12))
def test_it_takes_no_more_room_than_three_times_its_members(steps: list[tuple[int, int]]) -> None:
    """Runs of members that come, and of such that leave, the latest or the first."""
    heap: LazyHeap[int, float] = LazyHeap()
    there: list[int] = []
    for kind, count in steps:
        for number in range(count):
            if kind < 4 or not there:
                there.append(there[-1] + 1 if there else 0)
                heap.add(there[-1], float(number))
            else:
                heap.discard(there.pop(0 if kind < 7 else -1))
            assert heap.room <= 3 * len(heap) + 100


def test_nobody_waits_until_all_have_moved() -> None:
    """Of 40,000 that are thrown out, no operation passes over more than a few."""
    heap: LazyHeap[int, float] = LazyHeap()
    for number in range(80_000):
        heap.add(number, float(number % 997))
    rooms = [heap.room]
    for number in range(45_000):
        heap.discard(number)
        rooms.append(heap.room)
    assert rooms[-1] < 60_000
    assert max(before - after for before, after in pairwise(rooms)) <= 8
