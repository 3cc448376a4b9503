from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.admission.queue import AdmissionQueue, Place
from forebay.middleware.admission.tickets import Load, Objective, Refusal, Ticket, Waiting
from forebay.middleware.analysis.facts import Priority
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.shedding.deadline import DeadlineShedding
from forebay.policies.shedding.flow import Flow
from tests.contract.shedding import SheddingContract, waiting

SOON = Objective(ttft_s=2.0)


def moving(shedding: DeadlineShedding, *, gap_s: float = 0.5, until_s: float = 100.0) -> DeadlineShedding:
    """Let somebody in every `gap_s` while others wait, the last at `until_s`."""
    for number in range(50):
        shedding.entered(Ticket("x", "t", 0.0), Load(5, 9, now_s=until_s - gap_s * (49 - number)))
    return shedding


def asks(name: str = "a", priority: Priority = Priority.STANDARD, **more: object) -> Ticket:
    return Ticket(name, "t", 100.0, 10, priority=priority, stream=True, objective=SOON, **more)  # type: ignore[arg-type]


class TestBounds(SheddingContract):
    @pytest.fixture
    def shedding(self) -> DeadlineShedding:
        return DeadlineShedding(max_requests=100, max_tokens=1_000)

    @pytest.mark.parametrize(
        ("priority", "room"),
        [(Priority.INTERACTIVE, 100), (Priority.STANDARD, 90), (Priority.BATCH, 75), (Priority.BACKGROUND, 50)],
    )
    def test_each_class_finds_room_up_to_its_share(
        self, shedding: DeadlineShedding, priority: Priority, room: int
    ) -> None:
        assert shedding.refuse(asks(priority=priority), waiting(room - 1)) is None
        refusal = shedding.refuse(asks(priority=priority), waiting(room))
        assert refusal is not None
        assert (refusal.reason, refusal.status) == ("queue_full", 429)

    def test_tokens_are_bounded_but_one_may_always_wait(self, shedding: DeadlineShedding) -> None:
        large = Ticket("a", "t", 0.0, 5_000)
        assert shedding.refuse(large, waiting(0)) is None
        assert shedding.refuse(large, waiting(1, tokens=10.0)) is not None

    def test_the_objective_counts_for_nothing(self, shedding: DeadlineShedding) -> None:
        moving(shedding, gap_s=10.0)
        assert shedding.refuse(asks(), waiting(80, now_s=100.0)) is None
        assert shedding.patience_s(asks()) == math.inf

    def test_who_asks_for_more_than_its_share_is_refused_and_nobody_gives_way(self) -> None:
        shedding = DeadlineShedding(max_requests=100, tenant_share=0.1)
        many = Waiting(Load(5, 20), {Priority.BACKGROUND: 20}, {}, tenant_requests=10)
        refusal = shedding.refuse(asks(), many)
        assert refusal is not None
        assert refusal.reason == "tenant_quota"
        assert shedding.gives_way(asks(), many) is None

    def test_a_tenant_has_its_share_of_tokens(self) -> None:
        shedding = DeadlineShedding(max_requests=100, max_tokens=1_000, tenant_share=0.5)
        held = Waiting(Load(5, 2), {}, {}, tenant_requests=1, tenant_tokens=495.0)
        assert shedding.refuse(asks(), held) is not None
        assert shedding.refuse(asks(), Waiting(Load(5, 2), {}, {}, tenant_requests=1, tenant_tokens=490.0)) is None

    def test_the_least_urgent_give_way_first(self, shedding: DeadlineShedding) -> None:
        full = Waiting(Load(5, 100), {Priority.BATCH: 50, Priority.BACKGROUND: 50}, {})
        assert shedding.gives_way(asks(), full) is Priority.BACKGROUND
        assert shedding.gives_way(asks(priority=Priority.BACKGROUND), full) is None
        no_background = Waiting(Load(5, 100), {Priority.BATCH: 50, Priority.STANDARD: 50}, {})
        assert shedding.gives_way(asks(), no_background) is Priority.BATCH

    def test_in_a_queue_the_latest_of_the_least_urgent_leaves(self) -> None:
        queue = AdmissionQueue(FCFS(), FixedLimit(max_inflight=1), DeadlineShedding(max_requests=4))
        queue.arrive(asks("inside"), 0.0)
        for name in ("b1", "b2"):
            assert queue.arrive(asks(name, Priority.BACKGROUND), 0.0)[0] is Place.WAITING
        assert isinstance(queue.arrive(asks("b3", Priority.BACKGROUND), 0.0)[0], Refusal)
        assert queue.arrive(asks("s1"), 0.0) == (Place.WAITING, [])
        place, gone = queue.arrive(asks("s2"), 0.0)
        assert place is Place.WAITING
        assert [victim.id for victim, _ in gone] == []
        place, gone = queue.arrive(asks("i1", Priority.INTERACTIVE), 0.0)
        assert place is Place.WAITING
        assert [victim.id for victim, _ in gone] == ["b2"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"max_requests": 0},
            {"max_tokens": 0},
            {"tenant_share": 0.0},
            {"grace": 0.5},
            {"overtaking": 0.0},
            {"shares": {Priority.BATCH: 2.0}},
        ],
    )
    def test_a_setting_out_of_range_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="must be"):
            DeadlineShedding(**wrong)  # type: ignore[arg-type]


class TestByObjective(SheddingContract):
    @pytest.fixture
    def shedding(self) -> DeadlineShedding:
        return DeadlineShedding(by_objective=True, overtaking=2.0, grace=1.25)

    def test_who_would_wait_too_long_is_refused_with_the_time_it_takes(self, shedding: DeadlineShedding) -> None:
        moving(shedding)
        assert shedding.refuse(asks(), waiting(8, now_s=100.0)) is None
        refusal = shedding.refuse(asks(), waiting(20, now_s=100.0))
        assert refusal is not None
        assert (refusal.reason, refusal.status) == ("too_late", 429)
        assert refusal.retry_after_s == pytest.approx(20 * 0.5 - 2.0)

    def test_less_urgent_ones_are_not_in_the_way(self, shedding: DeadlineShedding) -> None:
        moving(shedding)
        assert shedding.refuse(asks(), waiting(500, now_s=100.0, priority=Priority.BATCH)) is None

    def test_nobody_is_refused_on_a_guess(self, shedding: DeadlineShedding) -> None:
        assert shedding.refuse(asks(), waiting(500)) is None

    def test_who_gives_up_before_is_refused(self, shedding: DeadlineShedding) -> None:
        assert shedding.refuse(asks(deadline_s=101.0, first_s=1.5), waiting(1, now_s=100.0)) is not None
        assert shedding.refuse(asks(deadline_s=102.0, first_s=1.5), waiting(1, now_s=100.0)) is None

    def test_patience(self, shedding: DeadlineShedding) -> None:
        assert shedding.patience_s(asks()) == 2.5
        assert shedding.patience_s(asks(first_s=0.4)) == pytest.approx(2.0)
        assert shedding.patience_s(asks(deadline_s=101.0)) == 1.0
        assert shedding.patience_s(asks(first_s=9.0)) == 0.0
        whole = Ticket("a", "t", 0.0, seconds=6.0, objective=Objective(ttft_s=2.0, total_s=10.0))
        assert shedding.patience_s(whole) == 5.0, "the first token of a whole answer is not seen"
        assert shedding.patience_s(Ticket("a", "t", 0.0)) == math.inf

    def test_where_nobody_is_let_in_it_is_the_service_that_fails(self, shedding: DeadlineShedding) -> None:
        moving(shedding)
        assert shedding.late(asks(), waiting(5, now_s=105.0)).status == 429
        assert shedding.late(asks(), waiting(5, now_s=111.0)).status == 503

    def test_a_queue_puts_out_who_is_late(self, shedding: DeadlineShedding) -> None:
        queue = AdmissionQueue(FCFS(), FixedLimit(max_inflight=1), shedding)
        queue.arrive(asks("inside"), 100.0)
        queue.arrive(asks("a"), 100.0)
        assert queue.next_late_s() == 102.5
        assert [(one.id, refusal.reason) for one, refusal in queue.put_out(102.5)] == [("a", "too_late")]

    def test_a_decision_is_cheap(self, shedding: DeadlineShedding) -> None:
        moving(shedding)
        one, found = asks(), waiting(20, now_s=100.0)
        best = math.inf
        for _ in range(20):
            since = time.perf_counter()
            for _ in range(100):
                shedding.refuse(one, found)
            best = min(best, (time.perf_counter() - since) / 100)
        assert best < 100e-6, "five times what it may take, for a busy machine"


class TestFlow:
    def test_only_time_in_which_somebody_waited_counts(self) -> None:
        flow = Flow()
        for number in range(20):
            flow.entered(Load(1, 1, now_s=float(number)))
        flow.entered(Load(1, 0, now_s=20.0))
        flow.entered(Load(1, 0, now_s=1_000.0))
        assert flow.seconds(10) == pytest.approx(10.0)

    def test_it_follows(self) -> None:
        flow = Flow()
        for number in range(100):
            flow.entered(Load(1, 1, now_s=float(number)))
        for number in range(400):
            flow.entered(Load(1, 1, now_s=99.0 + number / 10))
        assert flow.seconds(10) == pytest.approx(1.0, rel=0.05)


@given(
    queued=st.integers(0, 10_000),
    more=st.integers(0, 1_000),
    gap_s=st.floats(1e-4, 100.0),
    priority=st.sampled_from(list(Priority)),
    by_objective=st.booleans(),
)
def test_a_longer_queue_never_lets_more_wait(
    queued: int, more: int, gap_s: float, priority: Priority, by_objective: bool
) -> None:
    shedding = moving(DeadlineShedding(by_objective=by_objective), gap_s=gap_s)
    short = shedding.refuse(asks(priority=priority), waiting(queued, now_s=100.0, priority=priority))
    long = shedding.refuse(asks(priority=priority), waiting(queued + more, now_s=100.0, priority=priority))
    if short is not None:
        assert long is not None
        assert long.retry_after_s >= short.retry_after_s
        assert 1.0 <= short.retry_after_s <= 60.0
