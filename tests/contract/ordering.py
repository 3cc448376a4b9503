"""What every ordering must do: subclass `OrderingContract` and give it a fixture `ordering`, empty."""

from __future__ import annotations

from forebay.middleware.protocols import Ordering
from forebay.middleware.records import Ticket


def ticket(name: str, enqueued_s: float = 0.0) -> Ticket:
    return Ticket(id=name, tenant="t", enqueued_s=enqueued_s, input_tokens=10)


def drained(ordering: Ordering, now_s: float = 100.0) -> list[str]:
    """Let everybody in, and return the ids in that order."""
    order: list[str] = []
    while (head := ordering.peek(now_s)) is not None:
        assert ordering.remove(head.id)
        order.append(head.id)
    return order


class OrderingContract:
    def test_it_is_an_ordering(self, ordering: Ordering) -> None:
        assert isinstance(ordering, Ordering)

    def test_empty(self, ordering: Ordering) -> None:
        assert len(ordering) == 0
        assert ordering.peek(0.0) is None
        assert not ordering.remove("nobody")

    def test_everybody_comes_out_once(self, ordering: Ordering) -> None:
        names = [f"t{index}" for index in range(50)]
        for index, name in enumerate(names):
            ordering.push(ticket(name, float(index)))
        assert len(ordering) == 50
        assert sorted(drained(ordering)) == sorted(names)
        assert len(ordering) == 0

    def test_peeking_takes_nobody_out(self, ordering: Ordering) -> None:
        ordering.push(ticket("a"))
        ordering.push(ticket("b", 1.0))
        assert ordering.peek(2.0) == ordering.peek(2.0)
        assert len(ordering) == 2

    def test_who_left_does_not_come_out(self, ordering: Ordering) -> None:
        for index, name in enumerate("abc"):
            ordering.push(ticket(name, float(index)))
        assert ordering.remove("b")
        assert not ordering.remove("b")
        assert len(ordering) == 2
        assert sorted(drained(ordering)) == ["a", "c"]

    def test_a_ticket_may_come_back(self, ordering: Ordering) -> None:
        ordering.push(ticket("a"))
        assert drained(ordering) == ["a"]
        ordering.push(ticket("a"))
        assert drained(ordering) == ["a"]
