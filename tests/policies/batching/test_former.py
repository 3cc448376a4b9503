"""The batch former "curve": its contract, its bounds, and that it does what was measured to pay."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Ticket
from forebay.policies.batching.former import CurveFormer
from forebay.policies.batching.ladder import Ladder
from forebay.policies.batching.longest import Longest
from forebay.policies.batching.plan import Budget, held
from tests.contract.batch_former import BatchFormerContract, drained, member


class TestCurveFormer(BatchFormerContract):
    @pytest.fixture
    def former(self) -> CurveFormer:
        return CurveFormer()


TICKETS = st.lists(
    st.tuples(st.integers(0, 400), st.floats(0, 300), st.floats(0, 0.3), st.integers(0, 2)), min_size=1, max_size=70
)


def tickets(drawn: list[tuple[int, float, float, int]]) -> list[Ticket]:
    now_s = 0.0
    made: list[Ticket] = []
    for place, (prompt, output, gap, chain) in enumerate(drawn):
        now_s += gap
        made.append(
            replace(
                member(f"t{place}", now_s, tokens=prompt, output=output), prefix=tuple(range(10 * chain, 11 * chain))
            )
        )
    return made


def engine_s(batch: tuple[Ticket, ...]) -> float:
    return 0.02 + 0.001 * len(batch) + 0.0001 * len(batch) * max(each.input_tokens for each in batch)


def served(former: CurveFormer, arriving: list[Ticket]) -> list[tuple[float, tuple[Ticket, ...]]]:
    """Run all who arrive, and return when each batch began."""
    now_s, left = 0.0, list(arriving)
    batches: list[tuple[float, tuple[Ticket, ...]]] = []
    while left or len(former):
        while left and left[0].enqueued_s <= now_s:
            former.push(left.pop(0))
        formed = former.form(now_s)
        if formed.members:
            batches.append((now_s, formed.members))
            took = engine_s(formed.members)
            former.measured(formed.members, took)
            now_s += took
        else:
            assert formed.ask_again_s > now_s
            now_s = min(formed.ask_again_s, left[0].enqueued_s if left else math.inf)
    return batches


@settings(deadline=None, max_examples=60)
@given(TICKETS, st.integers(1, 12), st.floats(50, 2000), st.floats(50, 2000))
def test_each_is_in_one_batch_within_the_budget_and_its_bound(
    drawn: list[tuple[int, float, float, int]], size: int, tokens: float, padded: float
) -> None:
    arriving = tickets(drawn)
    former = CurveFormer(Budget(size, tokens, padded))
    batches = served(former, arriving)
    assert sorted(each.id for _, batch in batches for each in batch) == sorted(each.id for each in arriving)
    for _, batch in batches:
        assert len(batch) <= size
        if len(batch) > 1:
            assert sum(map(held, batch)) <= tokens * (1 + 1e-9)
            assert len(batch) * max(map(held, batch)) <= padded * (1 + 1e-9)
    began = {each.id: (number, now_s) for number, (now_s, batch) in enumerate(batches) for each in batch}
    for ticket in arriving:
        ahead = sum(
            other.enqueued_s <= ticket.enqueued_s and began[other.id][1] >= ticket.enqueued_s for other in arriving
        )
        passed = sum(ticket.enqueued_s <= now_s < began[ticket.id][1] for now_s, _ in batches)
        assert passed <= ahead


@settings(deadline=None, max_examples=20)
@given(TICKETS)
def test_the_same_arrivals_make_the_same_batches(drawn: list[tuple[int, float, float, int]]) -> None:
    assert served(CurveFormer(), tickets(drawn)) == served(CurveFormer(), tickets(drawn))


@settings(deadline=None, max_examples=20)
@given(TICKETS)
def test_a_free_engine_is_never_held_back(drawn: list[tuple[int, float, float, int]]) -> None:
    former = CurveFormer()
    served(former, tickets(drawn))
    former.push(member("late", 1000.0, tokens=50))
    assert [each.id for each in former.form(1000.0).members] == ["late"]


def test_a_size_that_is_measured_slower_is_given_up() -> None:
    former = CurveFormer(Budget(8))
    sizes: list[int] = []
    for number in range(60):
        for place in range(8):
            former.push(member(f"{number}.{place}", float(number)))
        while len(former):
            batch = former.form(float(number)).members
            sizes.append(len(batch))
            former.measured(batch, 0.1 * len(batch) ** 1.5)
    assert max(sizes[:20]) > 1
    assert set(sizes[-100:]) == {1}


def test_members_of_like_length_go_together() -> None:
    former = CurveFormer(Budget(4))
    batches: list[tuple[Ticket, ...]] = []
    for number in range(40):
        for place in range(8):
            former.push(member(f"{number}.{place}", float(number), tokens=(10, 400)[place % 2]))
        while len(former):
            batch = former.form(float(number)).members
            batches.append(batch)
            former.measured(batch, engine_s(batch))
    last = batches[-8:]
    assert all(len({each.input_tokens for each in batch}) == 1 for batch in last)
    assert max(map(len, last)) > 1


def test_who_is_alike_is_cheaper_together_only_where_lengths_are_known() -> None:
    chance = random.Random(1)
    answers = Longest()
    real = [float(chance.randrange(10, 1000)) for _ in range(200)]
    answers.learn(real, real)
    (known,) = answers.among(np.array([100.0, 900.0]), [1])
    assert known.tolist() == [100.0, 900.0]
    guesses = real[:]
    chance.shuffle(guesses)
    blind = Longest()
    blind.learn(guesses, real)
    alone, pairs = blind.among(np.array([300.0, 300.0]), [1, 2])
    assert alone[0] < pairs[0] <= max(real)


def test_the_longest_of_many_is_as_long_as_it_is() -> None:
    chance = random.Random(2)
    answers = Longest()
    real = [math.exp(chance.gauss(5, 1)) for _ in range(256)]
    answers.learn([150.0] * 256, real)
    *_, longest = answers.among(np.full(16, 150.0), [1, 2, 4, 8, 16])
    truth = [max(chance.choices(real, k=16)) for _ in range(2000)]
    assert longest[0] == pytest.approx(sum(truth) / len(truth), rel=0.15)


def test_the_ladder_opens_what_pays_and_closes_what_does_not() -> None:
    ladder = Ladder(32)
    for _ in range(4):
        ladder.ran(ladder.trial(64), 1.0)
    assert (ladder.size, ladder.trial(64), ladder.trial(1)) == (1, 2, 0)
    ladder.ran(2, 1.5)
    assert (ladder.size, ladder.trial(64)) == (2, 8)
    ladder.ran(8, 0.5)
    assert (ladder.size, ladder.trial(64)) == (2, 0)
    for _ in range(511):
        ladder.ran(1, 1.0)
    assert ladder.trial(64) == 0
    ladder.ran(1, 1.0)
    assert ladder.trial(64) == 8
    for _ in range(20):
        ladder.ran(2, 0.5)
    assert ladder.size == 1


def test_over_budget_alone_goes_alone() -> None:
    former = CurveFormer(Budget(8, tokens=100))
    former.push(member("big", tokens=500))
    former.push(member("small", tokens=5))
    assert [[each.id for each in batch] for batch in drained(former)] == [["big"], ["small"]]
