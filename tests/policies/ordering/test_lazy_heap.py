from __future__ import annotations

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
    assert heap.room <= 2 * len(heap) + 64
