from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.hot.counts import ExactCounts

CHANGES = st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=60)


@given(CHANGES)
def test_exact_counts_are_those_of_a_dictionary(changes: list[tuple[bool, str, str]]) -> None:
    kept: dict[str, str] = {}
    exact = ExactCounts()
    for put, name, scope in changes:
        if put:
            kept[name] = scope
            exact.added(name, scope)
        else:
            kept.pop(name, None)
            exact.removed(name)
        expected = Counter(kept.values())
        assert [exact.of(scope) for scope in "xyz"] == [expected[scope] for scope in "xyz"]
        assert [exact.holds(name) for name in "abcd"] == [name in kept for name in "abcd"]
        assert exact.of(None) == len(kept)
    exact.clear()
    assert [exact.of(None), exact.of("x"), exact.holds("a")] == [0, 0, False]
