"""What a batch saves, reckoned before it is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.stream import Arrival, Savings
from forebay.middleware.records import Asked, Candidate, Verdict
from forebay.policies.pattern.bands import Bands
from forebay.policies.pattern.savings import JUDGED, NEAREST, Near, Shares, expected_savings, judged, learned


def arrival(exact: str, angle: float | None = None, **changes: object) -> Arrival:
    vector = None if angle is None else (math.cos(angle), math.sin(angle))
    made = Arrival(0.0, scope="s", exact=exact, text=exact, vector=vector, input_tokens=10, output_tokens=5.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def nobody(_asked: Arrival, _near: Sequence[Near]) -> float:
    return 0.0


def always(share: float) -> Shares:
    def shares(_asked: Arrival, _near: Sequence[Near]) -> float:
        return share

    return shares


def within(angle: float) -> Shares:
    def shares(_asked: Arrival, near: Sequence[Near]) -> float:
        return float(near[0][1] >= math.cos(angle))

    return shares


def test_equal_ones_are_computed_once() -> None:
    batch = [arrival("a"), arrival("b"), arrival("a"), arrival("a")]
    assert expected_savings(batch, nobody) == Savings(requests=2, tokens=30, same=2)


def test_tokens_are_those_of_the_first() -> None:
    batch = [arrival("a", input_tokens=100, output_tokens=50.0), arrival("a", input_tokens=1, output_tokens=0.0)]
    assert expected_savings(batch, nobody).tokens == 150


def test_those_without_a_key_and_those_that_were_answered_save_nothing() -> None:
    batch = [arrival(""), arrival(""), arrival("a", hit=True), arrival("a", hit=True)]
    assert expected_savings(batch, nobody) == Savings()


def test_a_similar_one_is_saved_with_the_tokens_of_the_other() -> None:
    batch = [arrival("a", 0.0), arrival("b", 0.1, input_tokens=99), arrival("c", 1.0)]
    assert expected_savings(batch, within(0.2)) == Savings(requests=1, tokens=15, similar=1)


def test_one_that_is_not_computed_answers_nobody() -> None:
    chain = [arrival(name, angle) for name, angle in (("a", 0.0), ("b", 0.15), ("c", 0.3))]
    assert expected_savings(chain, within(0.2)).requests == 1


def test_an_equal_one_to_one_that_was_answered_is_answered_likewise() -> None:
    batch = [arrival("a", 0.0), arrival("b", 0.1), arrival("b", 0.1)]
    assert expected_savings(batch, within(0.2)) == Savings(requests=2, tokens=30, similar=2)


@pytest.mark.parametrize("change", [{"scope": "t"}, {"comparable": "c"}, {"vector": (1.0, 0.0, 0.0)}])
def test_only_those_of_one_scope_and_context_are_compared(change: dict[str, object]) -> None:
    batch = [arrival("a", 0.0), arrival("b", 0.0, **change)]
    assert expected_savings(batch, within(0.2)) == Savings()


def test_the_nearest_few_are_shown_the_nearest_first() -> None:
    seen: list[list[str]] = []

    def shares(_asked: Arrival, near: Sequence[Near]) -> float:
        seen.append([earlier.exact for earlier, _ in near])
        return 0.0

    expected_savings([arrival(str(at), at / 100) for at in range(200)], shares)
    assert seen[-1] == [str(at) for at in range(198, 198 - NEAREST, -1)]


def test_doubtful_ones_count_by_their_probability() -> None:
    half = expected_savings([arrival("a", 0.0), arrival("b", 0.0), arrival("b", 0.0)], always(0.25), same=0.5)
    assert half.similar == 0.5
    assert half.same == 0.375
    assert half.requests == 0.875


@given(st.lists(st.sampled_from("abcdef"), max_size=40))
def test_without_similar_ones_what_is_saved_is_all_but_the_distinct(names: list[str]) -> None:
    found = expected_savings([arrival(name) for name in names], nobody)
    assert found.requests == found.same == len(names) - len(set(names))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_no_more_is_saved_than_there_is(members: list[tuple[str, float]], share: float, same: float) -> None:
    batch = [arrival(name, angle) for name, angle in members]
    found = expected_savings(batch, always(share), same=same)
    assert 0 <= found.requests <= max(0, len(batch) - 1) + 1e-9
    assert found.requests == pytest.approx(found.same + found.similar)
    assert found.tokens == pytest.approx(15 * found.requests)


def test_what_was_learned_decides_by_the_nearest() -> None:
    bands = Bands()
    shares = learned(bands)
    assert shares(arrival("a"), [(arrival("b"), 0.99), (arrival("c"), 0.5)]) == bands.similar(0.99)


class Accepts:
    """An acceptance policy that takes some questions; notes what it was shown."""

    def __init__(self, *questions: str, proven: bool = True) -> None:
        self.questions = questions
        self.proven = proven
        self.shown: list[str] = []

    def __call__(self, asked: Asked, candidate: Candidate) -> Verdict:
        assert asked.key.text == "the dog sleeps"
        self.shown.append(candidate.entry.question)
        return Verdict(candidate.entry.question in self.questions, 0.9, "told", proven=self.proven)


def near(*questions: str) -> list[Near]:
    return [(arrival(question), 0.9 - at / 1000) for at, question in enumerate(questions)]


def test_the_acceptance_policy_is_asked_about_the_likeliest() -> None:
    accepts = Accepts("dog sleeps here")
    some = near("x", "y", "z", "w", "dog sleeps here")
    assert judged(accepts)(arrival("the dog sleeps"), some) == 1.0
    assert accepts.shown == ["dog sleeps here"]
    refuses = Accepts()
    assert judged(refuses)(arrival("the dog sleeps"), some) == 0.0
    assert len(refuses.shown) == JUDGED


def test_what_is_not_proven_is_not_served() -> None:
    assert judged(Accepts("x", proven=False))(arrival("the dog sleeps"), near("x")) == 0.0
