from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.admission.queue import AdmissionQueue, Place
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.ordering.composed import Composed
from forebay.policies.ordering.line import Line, Losses
from forebay.policies.shedding.deadline import DeadlineShedding
from tests.contract.ordering import let_in, ticket

SOON = Objective(ttft_s=2.0)


def overrun() -> Losses:
    losses = Losses()
    for _ in range(8):
        losses.note(late=True)
    return losses


def two(losses: Losses) -> Line:
    """Return a line of a long one that must enter first, and a short one."""
    line = Line(8, 60.0, losses)
    line.push(ticket("long", 0.0, output_tokens=900.0, objective=SOON))
    line.push(ticket("short", 1.0, output_tokens=9.0, objective=SOON))
    return line


@pytest.mark.parametrize(
    ("losses", "now_s", "first"),
    [(Losses(), 0.9, "short"), (Losses(), 1.0, "long"), (Losses(), 2.0, "long"), (overrun(), 1.5, "short")],
    ids=["there is time", "half of it is over", "the last moment", "not all can be in time"],
)
def test_the_shortest_until_a_deadline_is_near(losses: Losses, now_s: float, first: str) -> None:
    head = two(losses).peek(now_s)
    assert head is not None
    assert head.id == first


def order(line: Line, now_s: float) -> list[str]:
    found: list[str] = []
    while (head := line.peek(now_s)) is not None:
        line.remove(head.id)
        line.entered(head)
        found.append(head.id)
    return found


def test_of_a_late_burst_the_shortest_is_first() -> None:
    line = Line(8, 60.0, Losses())
    for length in (300, 20, 100, 5, 200):
        line.push(ticket(str(length), 0.0, output_tokens=float(length), objective=SOON))
    assert order(line, 9.0) == ["5", "20", "100", "200", "300"]


def test_a_late_one_is_passed_by_those_alone_who_would_have_ended_before_it() -> None:
    line = Line(8, 60.0, Losses())
    line.push(ticket("long", 0.0, output_tokens=200.0, objective=SOON))  # 10 s at 50 ms a token
    line.push(ticket("passes", 9.0, output_tokens=10.0, objective=SOON))
    line.push(ticket("does not", 9.9, output_tokens=10.0, objective=SOON))
    assert order(line, 20.0) == ["passes", "long", "does not"]


def test_the_late_come_behind_and_are_counted_once() -> None:
    losses = Losses()
    line = two(losses)
    for _ in range(3):
        head = line.peek(2.5)
        assert head is not None
        assert head.id == "short"
    assert losses.share == 1 / 64
    line.remove("short")
    assert line.peek(2.6) is not None


@given(st.lists(st.booleans(), max_size=300))
def test_the_share_is_one(events: list[bool]) -> None:
    losses = Losses()
    for late in events:
        losses.note(late=late)
        assert 0.0 <= losses.share <= 1.0


def test_an_overload_shows_although_the_late_are_put_out() -> None:
    """Twice as many come as leave: most of those that wait are put out, and short ones go first nevertheless."""
    queue = AdmissionQueue(
        Composed(), FixedLimit(max_inflight=1), DeadlineShedding(by_objective=True, overtaking=100.0, grace=1.25)
    )
    entered = list[Ticket]()
    for number in range(400):
        now_s = number * 0.25
        queue.put_out(now_s)
        length = 500.0 if number % 2 else 5.0
        one = ticket(str(number), now_s, output_tokens=length, stream=True, objective=SOON)
        if queue.arrive(one, now_s)[0] is Place.INSIDE:
            entered.append(one)
        elif number % 2:
            queue.exit(entered[-1].id, now_s)
            head = queue.admit(now_s)
            assert head is not None
            entered.append(head)
    lengths = [one.output_tokens for one in entered[-50:]]
    assert lengths.count(5.0) > 40


def test_when_all_are_in_time_again_the_deadline_counts_again() -> None:
    ordering = Composed()
    for number in range(50):
        ordering.push(ticket(f"lost{number}", 0.0, objective=SOON))
    while (head := let_in(ordering, 9.0)) is not None:
        assert head.id.startswith("lost")
    for number in range(200):
        ordering.push(ticket(f"in time{number}", 10.0, objective=SOON))
        let_in(ordering, 10.0)
    ordering.push(ticket("long", 20.0, output_tokens=900.0, objective=SOON))
    ordering.push(ticket("short", 21.0, output_tokens=9.0, objective=SOON))
    head = ordering.peek(21.5)
    assert head is not None
    assert head.id == "long"
