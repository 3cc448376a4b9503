from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from forebay.middleware.analysis.learning import SAVED_EVERY, Memory
from forebay.middleware.records import JsonObject
from forebay.middleware.state import StateStore


class Part:
    def __init__(self, state: int = 0, *, broken: bool = False) -> None:
        self.state = state
        self.broken = broken

    def report(self) -> Sequence[JsonObject]:
        return []

    def snapshot(self) -> JsonObject:
        if self.broken:
            raise RuntimeError
        return {"state": self.state}

    def restore(self, state: JsonObject) -> None:
        self.state = int(state["state"])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    made = StateStore(tmp_path / "state.db")
    yield made
    made.close()


def test_what_was_saved_comes_back(state: StateStore) -> None:
    Memory({"predictors.a": Part(3), "stream.b": Part(4)}, state).save()
    assert state.flush()
    parts = {"predictors.a": Part(), "stream.b": Part(), "predictors.new": Part(9)}
    assert Memory(parts, state).restore() == []
    assert [part.state for part in parts.values()] == [3, 4, 9]


def test_a_snapshot_that_is_another_ones_is_left(state: StateStore) -> None:
    state.save("learned:predictors.a", {"other": 1})
    Memory({"stream.b": Part(4)}, state).save()
    assert state.flush()
    parts = {"predictors.a": Part(7), "stream.b": Part()}
    assert Memory(parts, state).restore() == ["predictors.a"]
    assert [part.state for part in parts.values()] == [7, 4]


def test_a_part_that_cannot_be_saved_does_not_keep_the_others_from_it(state: StateStore) -> None:
    Memory({"predictors.a": Part(broken=True), "stream.b": Part(4)}, state).save()
    assert state.flush()
    assert (state.load("learned:predictors.a"), state.load("learned:stream.b")) == (None, {"state": 4})


def test_it_saves_now_and_then(state: StateStore) -> None:
    memory = Memory({"predictors.a": Part(5)}, state)
    for _ in range(SAVED_EVERY - 1):
        memory.learned()
    assert state.flush()
    assert state.load("learned:predictors.a") is None
    memory.learned()
    assert state.flush()
    assert state.load("learned:predictors.a") == {"state": 5}
