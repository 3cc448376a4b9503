from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.milvus.counts import EMPTY_S, FULL_S, MAX_SCOPES, ExactCounts, RememberedCounts

CHANGES = st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=40)


@given(CHANGES, CHANGES)
def test_exact_counts_are_those_of_a_dictionary(
    before: list[tuple[bool, str, str]], changes: list[tuple[bool, str, str]]
) -> None:
    kept = {name: scope for _, name, scope in before}
    exact = ExactCounts(list(kept.items()))
    for put, name, scope in changes:
        if put:
            kept[name] = scope
            exact.added(name, scope)
        else:
            kept.pop(name, None)
            exact.removed(name)
        expected = Counter(kept.values())
        assert [exact.of(scope) for scope in "xyz"] == [expected[scope] for scope in "xyz"]
        assert exact.of(None) == len(kept)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_full_scope_is_remembered_for_a_minute_and_an_empty_one_for_a_second() -> None:
    clock = Clock()
    remembered = RememberedCounts(clock)
    remembered.note("full", 3)
    remembered.note("empty", 0)
    assert (remembered.get("full"), remembered.get("empty"), remembered.get("unknown")) == (3, 0, None)
    clock.now += EMPTY_S
    assert (remembered.get("full"), remembered.get("empty")) == (3, None)
    clock.now += FULL_S - EMPTY_S
    assert remembered.get("full") is None


def test_a_change_forgets_its_scope_and_the_total() -> None:
    remembered = RememberedCounts(Clock())
    for scope in ("a", "b", None):
        remembered.note(scope, 1)
    remembered.forget("a")
    assert [remembered.get(scope) for scope in ("a", "b", None)] == [None, 1, None]
    remembered.forget()
    assert remembered.get("b") is None


def test_remembers_a_bounded_number_of_scopes() -> None:
    remembered = RememberedCounts(Clock())
    for index in range(MAX_SCOPES + 1):
        remembered.note(f"{index}", 1)
    known = [index for index in range(MAX_SCOPES + 1) if remembered.get(f"{index}") is not None]
    assert known == [MAX_SCOPES]
