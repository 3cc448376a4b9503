from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.ordering.fcfs import FCFS
from tests.contract.ordering import OrderingContract, drained, ticket


class TestFCFS(OrderingContract):
    @pytest.fixture
    def ordering(self) -> FCFS:
        return FCFS()


@given(st.lists(st.tuples(st.sampled_from(["push", "leave", "enter"]), st.integers(0, 9)), max_size=80))
def test_the_order_is_kept_whoever_leaves(steps: list[tuple[str, int]]) -> None:
    ordering, model = FCFS(), list[str]()
    for what, number in steps:
        name = str(number)
        if what == "push" and name not in model:
            ordering.push(ticket(name))
            model.append(name)
        elif what == "leave":
            assert ordering.remove(name) == (name in model)
            model = [other for other in model if other != name]
        elif what == "enter":
            head = ordering.peek(0.0)
            assert (head.id if head else None) == (model[0] if model else None)
            if head:
                ordering.remove(head.id)
                del model[0]
        assert len(ordering) == len(model)
    assert drained(ordering) == model


def test_a_ticket_pushed_twice_keeps_its_place() -> None:
    ordering = FCFS()
    for name in ("a", "b", "a"):
        ordering.push(ticket(name))
    assert drained(ordering) == ["a", "b"]
