"""What every eviction policy must do: subclass `EvictionContract` and override `make`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import Eviction

IDS = st.sampled_from("abcdefgh")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("added"), IDS, st.integers(0, 12)),
        st.tuples(st.just("touched"), IDS, st.just(0)),
        st.tuples(st.just("removed"), IDS, st.just(0)),
    ),
    max_size=60,
)
Step = tuple[str, str, int]
ANY = settings(suppress_health_check=[HealthCheck.differing_executors])
"""One test for several classes: each has its own examples."""


def do(policy: Eviction, step: Step, now_s: float) -> Sequence[str]:
    what, entry_id, size = step
    if what == "added":
        return policy.added(entry_id, size, 1.0, now_s)
    if what == "touched":
        policy.touched(entry_id, now_s)
    else:
        policy.removed(entry_id)
    return ()


class EvictionContract:
    def make(self, max_entries: int, max_bytes: int) -> Eviction:
        """Return an empty policy of this capacity."""
        raise NotImplementedError

    def test_it_is_an_eviction_policy(self) -> None:
        assert isinstance(self.make(1, 1), Eviction)

    @ANY
    @given(steps=STEPS)
    def test_the_capacity_is_never_exceeded(self, steps: list[Step]) -> None:
        policy = self.make(4, 20)
        kept: dict[str, int] = {}
        for now_s, step in enumerate(steps):
            dropped = do(policy, step, float(now_s))
            what, entry_id, size = step
            if what == "added":
                kept[entry_id] = size
            elif what == "removed":
                kept.pop(entry_id, None)
            assert len(set(dropped)) == len(dropped)
            for gone in dropped:
                del kept[gone]  # only what is kept may be dropped
            assert len(kept) <= 4
            assert sum(kept.values()) <= 20

    @ANY
    @given(steps=STEPS)
    def test_nothing_is_dropped_while_there_is_room(self, steps: list[Step]) -> None:
        policy = self.make(8, 8 * 12)
        assert [gone for now_s, step in enumerate(steps) for gone in do(policy, step, float(now_s))] == []

    @ANY
    @given(before=STEPS, after=STEPS)
    def test_a_restored_policy_goes_on_as_the_old_one(self, before: list[Step], after: list[Step]) -> None:
        old, new = self.make(4, 20), self.make(4, 20)
        for now_s, step in enumerate(before):
            do(old, step, float(now_s))
        new.restore(json.loads(json.dumps(old.snapshot())))
        for now_s, step in enumerate(after, start=len(before)):
            assert list(do(old, step, float(now_s))) == list(do(new, step, float(now_s)))

    @pytest.mark.parametrize(
        "state", [{}, {"entries": 1}, {"entries": [1]}, {"entries": [[1, 2]]}, {"entries": [["a"]]}]
    )
    def test_another_state_is_refused(self, state: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="snapshot"):
            self.make(4, 20).restore(state)
