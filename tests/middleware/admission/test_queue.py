"""The books of the queue: what comes in goes out once, and the policies see what is so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.queue import AdmissionQueue, Place
from forebay.middleware.admission.tickets import Load, Objective, Refusal, Served, Ticket, Waiting
from forebay.middleware.analysis.facts import Priority
from forebay.policies.ordering.fcfs import FCFS

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOTS = 2


def ticket(name: str, now_s: float = 0.0, **fields: object) -> Ticket:
    made: dict[str, object] = {"input_tokens": 10, "output_tokens": 5.0, **fields}
    return Ticket(name, str(made.pop("tenant", "t")), now_s, **made)  # type: ignore[arg-type]


class Steering:
    """A limit that keeps what it was told."""

    def __init__(self, most: int = SLOTS) -> None:
        self.most = most
        self.seen: list[tuple[str, str]] = []
        self.served: list[Served] = []

    def admits(self, ticket: Ticket, load: Load) -> bool:
        return load.inflight < self.most

    def entered(self, ticket: Ticket, load: Load) -> None:
        self.seen.append(("entered", ticket.id))

    def first_token(self, ticket: Ticket, load: Load) -> None:
        self.seen.append(("first", ticket.id))

    def ended(self, served: Served, load: Load) -> None:
        self.seen.append(("ended", served.ticket.id))
        self.served.append(served)


class Strict:
    """At most two wait, for at most five seconds; batch work gives way."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []

    def refuse(self, ticket: Ticket, waiting: Waiting) -> Refusal | None:
        self.waiting.append(waiting)
        return Refusal("full", 429, 7.0) if sum(waiting.requests.values()) >= 2 else None

    def gives_way(self, ticket: Ticket, waiting: Waiting) -> Priority | None:
        return Priority.BATCH if ticket.priority is not Priority.BATCH else None

    def patience_s(self, ticket: Ticket) -> float:
        return 5.0 if ticket.priority is not Priority.BACKGROUND else math.inf

    def late(self, ticket: Ticket, waiting: Waiting) -> Refusal:
        return Refusal("late")

    def entered(self, ticket: Ticket, load: Load) -> None:
        assert load.inflight > 0


def let_in(queue: AdmissionQueue, now_s: float) -> list[str]:
    names: list[str] = []
    while (admitted := queue.admit(now_s)) is not None:
        names.append(admitted.id)
    return names


def test_the_load_counts_what_is_inside() -> None:
    queue = AdmissionQueue(FCFS(), Steering())
    assert queue.arrive(ticket("a", stream=True), 1.0) == (Place.INSIDE, [])
    assert queue.arrive(ticket("b", priority=Priority.BATCH), 2.0) == (Place.INSIDE, [])
    assert queue.arrive(ticket("c"), 3.0) == (Place.WAITING, [])
    load = queue.load(4.0)
    assert (load.inflight, load.queued, load.inflight_tokens, load.reserved_tokens) == (2, 1, 20, 30.0)
    assert (load.prefilling, load.prefilling_tokens, load.now_s) == (1, 10, 4.0)
    assert (load.classes[Priority.STANDARD], load.classes[Priority.BATCH]) == (1, 1)
    with pytest.raises(TypeError):
        load.classes[Priority.BATCH] = 7  # type: ignore[index]
    queue.first_token("a", 4.0)
    queue.first_token("a", 4.0)
    assert (queue.load(4.0).prefilling, queue.load(4.0).prefilling_tokens) == (0, 0)
    assert queue.exit("a", 5.0)
    assert not queue.exit("a", 5.0)
    assert let_in(queue, 5.0) == ["c"]


def test_a_steered_limit_is_told_each_thing_once() -> None:
    limit = Steering()
    queue = AdmissionQueue(FCFS(), limit)
    one = ticket("a", stream=True)
    queue.arrive(one, 0.0)
    queue.first_token("a", 1.0)
    queue.first_token("a", 1.0)
    queue.exit("a", 2.0)
    queue.first_token("a", 2.0)
    queue.learn(Served(one, 0.0, 1.0, 2.0, 10, 6))
    assert limit.seen == [("entered", "a"), ("first", "a"), ("ended", "a")]


def test_who_is_refused_hears_why_and_batch_work_gives_way() -> None:
    queue = AdmissionQueue(FCFS(), Steering(1), Strict())
    queue.arrive(ticket("inside"), 0.0)
    for name, priority in (("a", Priority.BATCH), ("b", Priority.BATCH)):
        assert queue.arrive(ticket(name, priority=priority), 0.0) == (Place.WAITING, [])
    assert queue.refusal(ticket("c", priority=Priority.BATCH), 0.0) == Refusal("full", 429, 7.0)
    assert queue.arrive(ticket("c", priority=Priority.BATCH), 0.0) == (Refusal("full", 429, 7.0), [])
    assert queue.refusal(ticket("d"), 0.0) is None
    place, gone = queue.arrive(ticket("d"), 0.0)
    assert place is Place.WAITING
    assert [(one.id, why.reason) for one, why in gone] == [("b", "full")]  # the latest of its class
    assert len(queue) == 2


def test_who_has_waited_too_long_is_put_out_in_time() -> None:
    queue = AdmissionQueue(FCFS(), Steering(1), Strict())
    queue.arrive(ticket("inside"), 0.0)
    queue.arrive(ticket("a", 1.0), 1.0)
    queue.arrive(ticket("b", 2.0, priority=Priority.BACKGROUND), 2.0)
    assert queue.next_late_s() == 6.0
    assert queue.put_out(5.9) == []
    assert [(one.id, why.reason) for one, why in queue.put_out(6.0)] == [("a", "late")]
    assert queue.next_late_s() == math.inf
    queue.exit("inside", 7.0)
    assert let_in(queue, 7.0) == ["b"]


def test_a_tenants_own_share_is_seen() -> None:
    shedding = Strict()
    queue = AdmissionQueue(FCFS(), Steering(1), shedding)
    queue.arrive(ticket("inside", tenant="x"), 0.0)
    queue.arrive(ticket("a", tenant="x"), 0.0)
    queue.arrive(ticket("b", tenant="y"), 0.0)
    assert [(one.tenant_requests, one.tenant_tokens) for one in shedding.waiting] == [(1, 15.0), (0, 0.0)]


def test_usage_is_the_integral_of_what_was_so() -> None:
    limit = Steering(1)
    queue = AdmissionQueue(FCFS(), limit)
    queue.arrive(ticket("a"), 10.0)
    queue.arrive(ticket("b"), 12.0)
    queue.exit("a", 15.0)
    limit.most = 0  # a limit that holds an idle engine back
    assert let_in(queue, 15.0) == []
    limit.most = 1
    assert let_in(queue, 16.0) == ["b"]
    queue.exit("b", 18.0)
    usage = queue.usage
    assert (usage.seconds, usage.busy_s, usage.starved_s) == (8.0, 7.0, 1.0)
    assert (usage.inside, usage.waiting, usage.tokens) == (7.0, 4.0, 7 * 15.0)


def test_what_was_served_is_measured_from_arrival() -> None:
    one = ticket("a", 1.0, objective=Objective(ttft_s=2.0, tpot_s=0.5))
    served = Served(one, entered_s=2.0, first_token_s=2.5, ended_s=4.5, input_tokens=10, output_tokens=5)
    assert (served.ttft_s, served.ttft_inside_s, served.tpot_s, served.met) == (1.5, 0.5, 0.5, True)
    assert not Served(one, 2.0, 3.5, 4.5, 10, 5).met
    assert not Served(one, 2.0, 2.5, 4.5, 10, 5, complete=False).met
    assert one.first_by_s == 3.0
    assert ticket("b", 1.0, deadline_s=2.0, objective=Objective(ttft_s=2.0)).first_by_s == 2.0
    assert ticket("c").first_by_s == math.inf


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "leave", "exit", "first", "wait", "limit"]),
        st.integers(0, 30),
        st.sampled_from(list(Priority)),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(STEPS, st.booleans())
def test_any_history_keeps_the_books(steps: Sequence[tuple[str, int, Priority]], sheds: bool) -> None:
    limit = Steering()
    queue = AdmissionQueue(FCFS(), limit, Strict() if sheds else None)
    waiting: dict[str, Ticket] = {}
    inside: dict[str, Ticket] = {}
    now, names = 0.0, 0
    for what, number, priority in steps:
        if what == "come":
            names += 1
            one = ticket(f"t{names}", now, priority=priority, input_tokens=number, stream=number % 2 == 0)
            place, gone = queue.arrive(one, now)
            for victim, _ in gone:
                assert waiting.pop(victim.id).priority is Priority.BATCH
            if not isinstance(place, Refusal):
                (inside if place is Place.INSIDE else waiting)[one.id] = one
            else:
                assert sheds
        elif what == "leave":
            assert queue.leave(f"t{number}", now) == (waiting.pop(f"t{number}", None) is not None)
        elif what == "exit":
            assert queue.exit(f"t{number}", now) == (inside.pop(f"t{number}", None) is not None)
        elif what == "first":
            queue.first_token(f"t{number}", now)
        elif what == "limit":
            limit.most = number % 5
        else:
            now += number / 4
            for late, _ in queue.put_out(now):
                assert now - waiting.pop(late.id).enqueued_s >= 5.0
        for name in let_in(queue, now):
            inside[name] = waiting.pop(name)
        load = queue.load(now)
        assert (load.inflight, load.queued, len(queue)) == (len(inside), len(waiting), len(waiting))
        assert load.inflight_tokens == sum(one.input_tokens for one in inside.values())
        assert load.reserved_tokens == sum(one.tokens for one in inside.values())
        assert 0 <= load.prefilling <= load.inflight
        assert all(load.classes[one] == sum(t.priority is one for t in inside.values()) for one in Priority)
        assert dict.fromkeys(waiting, True) == {name: queue.waits(name) for name in waiting}
