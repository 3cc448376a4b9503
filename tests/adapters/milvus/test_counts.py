from __future__ import annotations

from forebay.adapters.milvus.counts import EMPTY_S, FULL_S, MAX_SCOPES, RememberedCounts


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_full_scope_is_remembered_for_a_minute_and_an_empty_one_for_a_second() -> None:
    clock = Clock()
    remembered = RememberedCounts(clock)
    remembered.note("full", 3, 0)
    remembered.note("empty", 0, 0)
    assert (remembered.get("full"), remembered.get("empty"), remembered.get("unknown")) == (3, 0, None)
    clock.now += EMPTY_S
    assert (remembered.get("full"), remembered.get("empty")) == (3, None)
    clock.now += FULL_S - EMPTY_S
    assert remembered.get("full") is None


def test_a_change_forgets_its_scope_and_the_total() -> None:
    remembered = RememberedCounts(Clock())
    for scope in ("a", "b", None):
        remembered.note(scope, 1, 0)
    remembered.forget("a")
    assert [remembered.get(scope) for scope in ("a", "b", None)] == [None, 1, None]
    remembered.forget()
    assert remembered.get("b") is None


def test_remembers_a_bounded_number_of_scopes() -> None:
    remembered = RememberedCounts(Clock())
    for index in range(MAX_SCOPES + 1):
        remembered.note(f"{index}", 1, 0)
    known = [index for index in range(MAX_SCOPES + 1) if remembered.get(f"{index}") is not None]
    assert known == [MAX_SCOPES]


def test_a_count_that_a_change_overtook_is_not_remembered() -> None:
    remembered = RememberedCounts(Clock())
    version = remembered.version
    remembered.forget("a")
    remembered.note("a", 0, version)
    assert remembered.get("a") is None
    remembered.note("a", 1, remembered.version)
    assert remembered.get("a") == 1
