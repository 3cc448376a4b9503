"""The predictor "neighbours"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from forebay.middleware.analysis.facts import Neighbours, Outcome, RequestFacts, Subject
from forebay.middleware.records import Key, Request
from forebay.policies.pattern.neighbours import RequestNeighbours
from tests.contract.predictor import PredictorContract

FACTS = RequestFacts(10, 1, "question", cacheable=True, semantic=True)


class TestContract(PredictorContract):
    remembers: ClassVar[bool] = False

    @pytest.fixture
    def make_predictor(self) -> Callable[[], RequestNeighbours]:
        return RequestNeighbours


def subject(name: str, exact: str, angle: float | None = None, *, now_s: float = 0.0, scope: str = "s") -> Subject:
    vector = None if angle is None else (math.cos(angle), math.sin(angle))
    return Subject(Request(name, "m", []), FACTS, Key(scope, "", exact, exact), vector, now_s)


def predicted(predictor: RequestNeighbours, asked: Subject) -> Neighbours:
    found = predictor.predict(asked).neighbours
    assert found is not None
    return found


def outcome(asked: Subject, facts: RequestFacts = FACTS, tokens: int = 100) -> Outcome:
    return Outcome(replace(asked, facts=facts), output_tokens=tokens)


def test_equal_ones_in_flight_and_recent() -> None:
    predictor = RequestNeighbours()
    first, second = subject("1", "a"), subject("2", "a")
    assert predicted(predictor, first) == Neighbours()
    assert predicted(predictor, second) == Neighbours(inflight_same=1, recent_same=1)
    predictor.learn(outcome(first))
    assert predicted(predictor, subject("3", "a")) == Neighbours(inflight_same=1, recent_same=2)
    predictor.learn(outcome(second))
    predictor.learn(outcome(second))
    assert predicted(predictor, subject("4", "a")) == Neighbours(inflight_same=1, recent_same=3)


def test_similar_ones_in_flight_and_recent() -> None:
    predictor = RequestNeighbours()
    first = subject("1", "a", 0.0)
    predictor.predict(first)
    assert predicted(predictor, subject("2", "b", 0.1)) == Neighbours(0, 1, 0, 1, cluster=0, cluster_size=2)
    predictor.learn(outcome(first))
    assert predicted(predictor, subject("3", "c", 0.05)) == Neighbours(0, 1, 0, 2, cluster=0, cluster_size=3)
    assert predicted(predictor, subject("4", "d", 2.0)) == Neighbours(cluster=1, cluster_size=1)


def test_an_equal_one_is_not_similar_as_well() -> None:
    predictor = RequestNeighbours()
    predictor.predict(subject("1", "a", 0.0))
    predictor.predict(subject("2", "a"))
    found = predicted(predictor, subject("3", "a", 0.0))
    assert (found.inflight_same, found.inflight_similar, found.recent_same, found.recent_similar) == (2, 0, 2, 0)


def test_other_scopes_are_not_compared() -> None:
    predictor = RequestNeighbours()
    predictor.predict(subject("1", "a", 0.0))
    found = predicted(predictor, subject("2", "b", 0.0, scope="t"))
    assert (found.recent_similar, found.cluster, found.cluster_size) == (0, 1, 1)


def test_a_request_that_shares_with_nobody_has_no_neighbours() -> None:
    asked = replace(subject("1", "a"), key=None)
    assert RequestNeighbours().predict(asked) is asked.facts


def test_asked_again_it_is_not_its_own_neighbour() -> None:
    predictor = RequestNeighbours()
    first = predicted(predictor, subject("1", "a", 0.0))
    assert predicted(predictor, subject("1", "a", 0.0)) == first == Neighbours(cluster=0, cluster_size=1)


@pytest.mark.parametrize("learned", [True, False])
def test_the_old_are_forgotten(learned: bool) -> None:
    predictor = RequestNeighbours(window_s=10.0)
    first = subject("1", "a", 0.0)
    predictor.predict(first)
    if learned:
        predictor.learn(outcome(first))
    assert predicted(predictor, subject("2", "a", 0.0, now_s=10.5)) == Neighbours(cluster=0, cluster_size=1)


def test_of_too_many_the_last_are_kept() -> None:
    predictor = RequestNeighbours(most=8)
    for at in range(50):
        predictor.predict(subject(str(at), "a", 0.0))
    found = predicted(predictor, subject("x", "a", 0.0))
    assert (found.recent_same, found.inflight_same, found.cluster_size) == (7, 7, 8)


def test_clusters_are_bounded_and_their_numbers_are_not_used_again() -> None:
    predictor = RequestNeighbours(clusters=2, alike=0.9)
    numbers = [predicted(predictor, subject(str(at), str(at), at * 0.7)).cluster for at in range(4)]
    assert numbers == [0, 1, 2, 3]
    assert predicted(predictor, subject("x", "x", 2.1)).cluster == 3
    assert predicted(predictor, subject("y", "y", 0.0)).cluster == 4


def test_the_cluster_joined_longest_ago_makes_room() -> None:
    predictor = RequestNeighbours(clusters=2, alike=0.9)
    angles = (0.0, 1.0, 0.0, 2.0, 0.0)
    numbers = [predicted(predictor, subject(str(at), str(at), angle)).cluster for at, angle in enumerate(angles)]
    assert numbers == [0, 1, 0, 2, 0]


def test_the_report_says_what_a_cluster_tells_about_the_length() -> None:
    predictor = RequestNeighbours()
    assert predictor.report() == []
    for at in range(200):
        asked = subject(str(at), str(at), at % 2 * 1.5)
        predictor.learn(outcome(asked, predictor.predict(asked), tokens=50 if at % 2 else 500))
    (row,) = predictor.report()
    assert (row["n"], row["same_share"]) == (200, 0.0)
    assert row["similar_share"] > 0.9
    assert row["length_error_over_all"] < 0.2


def test_of_what_did_not_end_cleanly_nothing_is_learned() -> None:
    predictor = RequestNeighbours()
    asked = subject("1", "a", 0.0)
    told = outcome(asked, predictor.predict(asked))
    for bad in (replace(told, complete=False), replace(told, truncated=True), replace(told, output_tokens=0)):
        predictor.learn(bad)
    assert predictor.report() == []
