"""All orderings: what the contract asks, whatever callers do, and each one's bound on waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.admission.protocols import Ordering
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.policies.ordering.composed import PATIENCE_S, Composed
from forebay.policies.ordering.deadline import Deadline
from forebay.policies.ordering.fair import Fair
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.ordering.prefix import Prefix
from forebay.policies.ordering.shortest_first import ShortestFirst
from tests.contract.ordering import OrderingContract, Step, let_in, played, steps, ticket

MAKES: dict[str, Callable[[], Ordering]] = {
    "fcfs": FCFS,
    "shortest_first": ShortestFirst,
    "deadline": Deadline,
    "fair": lambda: Fair(tenants=2),
    "prefix": lambda: Prefix(blocks=3, window=2, skips=3),
    "composed": lambda: Composed(every=2, guard=3, tenants=1),
}


class TestContract(OrderingContract):
    @pytest.fixture(params=list(MAKES))
    def ordering(self, request: pytest.FixtureRequest) -> Ordering:
        return MAKES[request.param]()


@pytest.mark.parametrize("name", MAKES)
@given(script=steps())
def test_whatever_callers_and_the_engine_do(name: str, script: list[Step]) -> None:
    assert played(MAKES[name](), script) == played(MAKES[name](), script)


def worst(number: int, now_s: float, tenant: str) -> Ticket:
    """Return a ticket that everything but age prefers to the victim of the bounds."""
    return ticket(
        f"new{number}",
        now_s,
        tenant=tenant,
        input_tokens=0,
        output_tokens=1.0,
        priority=Priority.INTERACTIVE,
        objective=Objective(ttft_s=1_000.0),
        prefix=(1, 2, 3),
    )


VICTIM: dict[str, Any] = {"input_tokens": 9_000, "output_tokens": 9_000.0, "objective": Objective(ttft_s=0.5)}


def rounds_until_in(
    ordering: Ordering,
    before: int,
    crowd: list[int],
    *,
    patience_s: float,
    one_tenant: bool,
    priority: Priority = Priority.INTERACTIVE,
) -> int:
    """Return how many others are let in after the victim's patience has ended.

    Before each of those that are let in, some come (of the crowd) whom everything but age prefers. The victim comes when
    `before` of its like wait.
    """
    for number in range(before):
        ordering.push(ticket(f"before{number}", 0.0, tenant="victim", priority=priority, **VICTIM))
    ordering.push(ticket("victim", 0.0, tenant="victim", priority=priority, **VICTIM))
    now_s, came = patience_s, 0
    for count in range(10_000):
        for _ in range(crowd[count % len(crowd)]):
            ordering.push(worst(came, now_s, "victim" if one_tenant else f"crowd{came}"))
            came += 1
        head = let_in(ordering, now_s)
        assert head is not None
        if head.id == "victim":
            return count
        now_s += 0.01
    raise AssertionError("the victim starves")


crowds = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@pytest.mark.parametrize("make", [ShortestFirst, Deadline])
@given(st.integers(0, 20), crowds, st.integers(1, 6), st.booleans())
def test_the_oldest_is_helped(
    make: type[ShortestFirst | Deadline], before: int, crowd: list[int], every: int, one: bool
) -> None:
    ordering = make(patience_s=30.0, every=every)
    assert rounds_until_in(ordering, before, crowd, patience_s=30.0, one_tenant=one) < every * (before + 1)


@given(st.integers(0, 20), crowds, st.integers(1, 6), st.integers(1, 9), st.booleans())
def test_who_shares_no_prefix_is_helped(before: int, crowd: list[int], skips: int, window: int, one: bool) -> None:
    ordering = Prefix(window=window, skips=skips)
    ordering.entered(worst(-1, 0.0, "crowd"), 0.0)
    assert rounds_until_in(ordering, before, crowd, patience_s=0.0, one_tenant=one) < skips * (before + 1)


@given(st.integers(0, 20), crowds, st.integers(1, 6), st.booleans(), st.sampled_from(Priority))
def test_nobody_starves_in_the_composed_order(
    before: int, crowd: list[int], guard: int, one: bool, priority: Priority
) -> None:
    ordering = Composed(guard=guard, patience_s=dict.fromkeys(Priority, 30.0))
    count = rounds_until_in(ordering, before, crowd, patience_s=30.0, one_tenant=one, priority=priority)
    assert count < guard * (before + 1)


@given(st.integers(0, 12), crowds, st.integers(1, 6))
def test_of_a_tenants_own_the_oldest_is_helped(before: int, crowd: list[int], every: int) -> None:
    """Alone in its class, so that each who is let in is of its line."""
    ordering = Composed(guard=10**6, every=every, patience_s=dict.fromkeys(Priority, 30.0))
    count = rounds_until_in(ordering, before, crowd, patience_s=30.0, one_tenant=True)
    assert count < every * (before + 1)


def test_patience_differs_by_class() -> None:
    ordering = Composed(guard=1, patience_s={Priority.BATCH: 50.0})
    ordering.push(ticket("batch", 0.0, priority=Priority.BATCH))
    ordering.push(ticket("other", 0.0))
    assert (ordering.peek(49.0), ordering.peek(50.0)) == (
        ticket("other", 0.0),
        ticket("batch", 0.0, priority=Priority.BATCH),
    )
    assert PATIENCE_S[Priority.STANDARD] == 60.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: ShortestFirst(every=0),
        lambda: ShortestFirst(patience_s=-1.0),
        lambda: ShortestFirst(patience_s=float("nan")),
        lambda: Deadline(every=0),
        lambda: Prefix(blocks=0),
        lambda: Prefix(window=0),
        lambda: Prefix(skips=0),
        lambda: Fair(weights={"a": 0.0}),
        lambda: Fair(tenants=0),
        lambda: Composed(every=0),
        lambda: Composed(guard=0),
        lambda: Composed(patience_s={Priority.BATCH: -1.0}),
        lambda: Composed(credit_tokens=float("inf")),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Ordering]) -> None:
    with pytest.raises(ValueError, match="ordering: "):
        make()


def test_what_can_still_be_in_time_goes_by_its_deadline_and_the_late_come_last() -> None:
    ordering = Deadline()
    ordering.push(ticket("late", 0.0, objective=Objective(ttft_s=1.0)))
    ordering.push(ticket("no hurry", 1.0))
    ordering.push(ticket("soon", 2.0, objective=Objective(ttft_s=9.0)))
    ordering.push(ticket("sooner", 3.0, objective=Objective(ttft_s=4.0)))
    names: list[str] = []
    while (head := ordering.peek(5.0)) is not None:
        ordering.remove(head.id)
        names.append(head.id)
    assert names == ["sooner", "soon", "no hurry", "late"]
