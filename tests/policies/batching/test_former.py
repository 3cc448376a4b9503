"""The batch former "curve": its contract, its bounds, and that it does what was measured to pay."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.policies.batching.former import CurveFormer
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
@given(TICKETS, st.integers(1, 12), st.floats(50, 2000), st.floats(50, 2000), st.integers(0, 3))
def test_each_is_in_one_batch_within_the_budget_and_its_bound(
    drawn: list[tuple[int, float, float, int]], size: int, tokens: float, padded: float, passes: int
) -> None:
    arriving = tickets(drawn)
    former = CurveFormer(Budget(size, tokens, padded), max_passes=passes, max_wait_s=0.1)
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
        assert passed <= (passes + 1) * ahead


@settings(deadline=None, max_examples=20)
@given(TICKETS)
def test_the_same_arrivals_make_the_same_batches(drawn: list[tuple[int, float, float, int]]) -> None:
    assert served(CurveFormer(), tickets(drawn)) == served(CurveFormer(), tickets(drawn))


@settings(deadline=None, max_examples=40)
@given(TICKETS, st.floats(0.001, 0.5))
def test_a_free_engine_is_never_held_back_past_the_bound(
    drawn: list[tuple[int, float, float, int]], max_wait_s: float
) -> None:
    former = CurveFormer(max_wait_s=max_wait_s)
    served(former, tickets(drawn))
    last_s = 1000.0
    former.push(member("late", last_s, tokens=50))
    formed = former.form(last_s)
    while not formed.members:
        assert formed.ask_again_s <= last_s + max_wait_s
        formed = former.form(formed.ask_again_s)


def volleys(former: CurveFormer, size: int = 10, rounds: int = 12) -> float:
    """Let members come by tens, a millisecond apart, to an engine whose batches cost little more than one."""
    now_s = 0.0
    for number in range(rounds):
        now_s = 100.0 * number
        arriving = [member(f"{number}.{place}", now_s + place / 1000) for place in range(size)]
        left = list(arriving)
        while left or len(former):
            while left and left[0].enqueued_s <= now_s:
                former.push(left.pop(0))
            formed = former.form(now_s)
            if formed.members:
                took = 1.0 + 0.001 * len(formed.members)
                former.measured(formed.members, took)
                now_s += took
            else:
                now_s = min(formed.ask_again_s, left[0].enqueued_s if left else math.inf)
    return now_s - 100.0 * (rounds - 1)


def test_it_waits_for_company_that_is_sure_to_come() -> None:
    assert volleys(CurveFormer()) < 1.1
    assert volleys(CurveFormer(leave_out={"cork"})) > 1.9


def test_who_is_due_is_not_held_back() -> None:
    former = CurveFormer()
    volleys(former)
    urgent = replace(member("urgent", 5000.0), objective=Objective(ttft_s=0.5))
    former.push(urgent)
    assert former.form(5000.0).members == (urgent,)


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
    last = [{each.input_tokens for each in batch} for batch in batches[-2:]]
    assert sorted(map(max, last)) == [10, 400]
    assert all(len(lengths) == 1 for lengths in last)


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="no parts"):
        CurveFormer(leave_out={"magic"})


def test_over_budget_alone_goes_alone() -> None:
    former = CurveFormer(Budget(8, tokens=100))
    former.push(member("big", tokens=500))
    former.push(member("small", tokens=5))
    assert [[each.id for each in batch] for batch in drained(former)] == [["big"], ["small"]]
