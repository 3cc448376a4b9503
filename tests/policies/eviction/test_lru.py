from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given

from forebay.policies.eviction.lru import LRU
from tests.contract.eviction import STEPS, EvictionContract, Step, do


class TestLRU(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> LRU:
        return LRU(max_entries=max_entries, max_bytes=max_bytes)


@given(steps=STEPS)
def test_it_drops_what_an_ordered_dict_would(steps: list[Step]) -> None:
    policy, model = LRU(max_entries=3, max_bytes=20), OrderedDict[str, int]()
    for now_s, step in enumerate(steps):
        what, entry_id, size = step
        expected: list[str] = []
        if what == "added":
            model.pop(entry_id, None)
            model[entry_id] = size
            while len(model) > 3 or sum(model.values()) > 20:
                expected.append(model.popitem(last=False)[0])
        elif what == "touched" and entry_id in model:
            model.move_to_end(entry_id)
        elif what == "removed":
            model.pop(entry_id, None)
        assert list(do(policy, step, float(now_s))) == expected


def test_an_entry_larger_than_all_room_is_dropped_alone() -> None:
    policy = LRU(max_entries=3, max_bytes=20)
    policy.added("a", 10, 1.0, 0.0)
    assert policy.added("big", 21, 1.0, 1.0) == ["big"]
    assert policy.added("b", 10, 1.0, 2.0) == []


def test_writing_an_entry_again_counts_its_new_size() -> None:
    policy = LRU(max_entries=3, max_bytes=20)
    policy.added("a", 15, 1.0, 0.0)
    policy.added("a", 5, 1.0, 1.0)
    assert policy.added("b", 15, 1.0, 2.0) == []


def test_a_snapshot_of_a_larger_capacity_shrinks_with_the_next_entry() -> None:
    large, small = LRU(max_entries=10), LRU(max_entries=2)
    for name in "abcd":
        large.added(name, 1, 1.0, 0.0)
    small.restore(large.snapshot())
    assert small.added("e", 1, 1.0, 1.0) == ["a", "b", "c"]


def test_a_refused_state_leaves_the_old_one() -> None:
    policy = LRU(max_entries=1)
    policy.added("a", 1, 1.0, 0.0)
    with pytest.raises(ValueError, match="snapshot"):
        policy.restore({"entries": [["b", -1]]})
    assert policy.added("c", 1, 1.0, 1.0) == ["a"]


@pytest.mark.parametrize(("max_entries", "max_bytes"), [(0, 1), (1, 0)])
def test_no_room_is_refused(max_entries: int, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LRU(max_entries=max_entries, max_bytes=max_bytes)
