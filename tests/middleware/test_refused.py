"""Pairs that were found wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.refused import RefusedPairs
from forebay.middleware.state import StateStore

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.sampled_from(["a", "b", "c", "d"])


def test_they_outlive_a_restart(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state.db")
    pairs = RefusedPairs(state)
    pairs.add("asked", "kept")
    assert state.flush()
    again = RefusedPairs(state)
    assert again.holds("asked", "kept")
    assert not again.holds("kept", "asked")
    state.close()


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_the_newest_are_remembered(added: list[tuple[str, str]]) -> None:
    pairs = RefusedPairs(most=3)
    for asked, kept in added:
        pairs.add(asked, kept)
    assert len(pairs) <= 3
    first_seen: list[tuple[str, str]] = []
    for pair in added:
        if pair in first_seen:
            continue
        first_seen = [*first_seen, pair][-3:]
    assert all(pairs.holds(*pair) for pair in first_seen)
