"""What every ordering must do: subclass `OrderingContract` and give it a fixture `ordering`, empty.

`steps` and `played` are for a property test of each: whatever callers and the engine do. All drive an ordering as the queue
does: who is let in is taken out, then noted.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from forebay.middleware.admission.protocols import Accounting, Ordering
from forebay.middleware.admission.tickets import NO_OBJECTIVE, Objective, Served, Ticket
from forebay.middleware.analysis.facts import Priority

_OBJECTIVES = (NO_OBJECTIVE, Objective(ttft_s=2.0), Objective(ttft_s=40.0), Objective(total_s=5.0))
Step = tuple[str, Ticket | int, float]


def ticket(name: str, enqueued_s: float = 0.0, **more: Any) -> Ticket:
    fields: dict[str, Any] = {"tenant": "t", "input_tokens": 10} | more
    return Ticket(id=name, enqueued_s=enqueued_s, **fields)


def let_in(ordering: Ordering, now_s: float) -> Ticket | None:
    """Let the next one in, as the queue does."""
    head = ordering.peek(now_s)
    if head is not None:
        assert ordering.remove(head.id)
        if isinstance(ordering, Accounting):
            ordering.entered(head, now_s)
    return head


def drained(ordering: Ordering, now_s: float = 100.0) -> list[str]:
    """Let everybody in, and return the ids in that order."""
    order: list[str] = []
    while (head := let_in(ordering, now_s)) is not None:
        order.append(head.id)
    return order


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Return what callers and an engine may do: push, leave (a number of those waiting), enter, end; with the time of each."""
    made = list[Step]()
    now_s = 0.0
    for number in range(draw(st.integers(1, 60))):
        now_s += draw(st.sampled_from([0.0, 0.0, 0.1, 3.0, 40.0]))
        what = draw(st.sampled_from(["push", "push", "enter", "enter", "leave", "end"]))
        if what == "push":
            one = ticket(
                str(number),
                now_s,
                tenant=draw(st.sampled_from("abc")),
                input_tokens=draw(st.integers(0, 3_000)),
                output_tokens=draw(st.sampled_from([0.0, 1.0, 40.0, 4_000.0])),
                priority=draw(st.sampled_from(Priority)),
                objective=draw(st.sampled_from(_OBJECTIVES)),
                prefix=tuple(range(draw(st.integers(0, 4)))),
            )
            made.append((what, one, now_s))
        else:
            made.append((what, draw(st.integers(0, 60)), now_s))
    return made


def played(ordering: Ordering, script: list[Step]) -> list[str]:
    """Do all of it against a plain list of who waits, and return who was let in."""
    waiting = list[str]()
    inside = list[tuple[Ticket, float]]()
    order = list[str]()
    for what, of, now_s in script:
        if isinstance(of, Ticket):
            ordering.push(of)
            waiting.append(of.id)
        elif what == "leave" and waiting:
            gone = waiting.pop(of % len(waiting))
            assert ordering.remove(gone)
            assert not ordering.remove(gone)
        elif what == "enter":
            head = let_in(ordering, now_s)
            assert (head is None) == (not waiting)
            if head is not None:
                waiting.remove(head.id)  # fails for one who left, or was let in before
                order.append(head.id)
                inside.append((head, now_s))
        elif what == "end" and inside:
            one, entered_s = inside.pop(of % len(inside))
            if isinstance(ordering, Accounting):
                ordering.ended(Served(one, entered_s, None, now_s, one.input_tokens, 70 * of))
        assert len(ordering) == len(waiting)
    rest = drained(ordering, script[-1][2])
    assert sorted(rest) == sorted(waiting)
    return order + rest


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

    def test_a_ticket_pushed_twice_waits_once(self, ordering: Ordering) -> None:
        for name in ("a", "b", "a"):
            ordering.push(ticket(name))
        assert len(ordering) == 2
        assert sorted(drained(ordering)) == ["a", "b"]

    def test_who_never_waited_may_enter_and_end(self, ordering: Ordering) -> None:
        if isinstance(ordering, Accounting):
            ordering.entered(ticket("a"), 0.0)
            ordering.ended(Served(ticket("a"), 0.0, None, 1.0, 10, 500))
        ordering.push(ticket("b"))
        assert drained(ordering) == ["b"]
