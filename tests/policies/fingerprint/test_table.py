from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.fingerprint.table import AgeingCounts


@given(st.lists(st.integers(0, 30)), st.integers(1, 10))
def test_it_holds_two_generations_at_most(keys: list[int], size: int) -> None:
    table = AgeingCounts(size)
    for key in keys:
        assert table.add(key) >= 1
        assert key in table
        assert len(table) <= 2 * size
    assert all(table.get(key) == count for key, count in table.items(100))


def test_what_is_not_seen_again_is_forgotten() -> None:
    table = AgeingCounts(2)
    for key in (1, 1, 1, 2, 3, 4):
        table.add(key)
    assert [table.get(key) for key in (1, 2, 3, 4)] == [3, 1, 1, 1]
    assert table.add(1) == 3  # half of three, rounded up, and one
    assert [table.get(key) for key in (1, 2, 3, 4)] == [3, 0, 1, 1]


def test_new_keys_begin_together() -> None:
    table = AgeingCounts(3)
    table.add(1)
    table.begin([2, 3])
    assert [table.get(key) for key in (1, 2, 3)] == [1, 1, 1]
    table.begin([4, 5])
    assert len(table) == 5
    table.begin([6, 7])
    assert [table.get(key) for key in range(1, 8)] == [0, 0, 0, 1, 1, 1, 1]


def test_it_can_be_filled() -> None:
    table = AgeingCounts(3)
    table.replace([(key, key) for key in range(1, 6)])
    assert table.items(10) == [(3, 3), (4, 4), (5, 5)]
    assert table.items(10, at_least=4) == [(4, 4), (5, 5)]
    assert table.items(1) == [(5, 5)]
