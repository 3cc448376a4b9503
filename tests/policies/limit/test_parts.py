from __future__ import annotations

import math

import pytest

from forebay.middleware.admission.tickets import Load, Served, Ticket
from forebay.policies.limit.awaited import Awaited
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.pace import Pace
from forebay.policies.limit.tokens import TokenLimit
from tests.contract.limit import LimitContract
from tests.policies.limit.engines import CROWDED, run


class TestTokenLimit(LimitContract):
    @pytest.fixture
    def limit(self) -> TokenLimit:
        return TokenLimit(kv_tokens=1_000, max_inflight=150)

    def test_prompt_and_predicted_output_must_fit(self, limit: TokenLimit) -> None:
        one = Ticket("a", "t", 0.0, 100, 50.0)
        assert limit.admits(one, Load(3, 0, reserved_tokens=800.0))
        assert not limit.admits(one, Load(3, 0, reserved_tokens=800.5))

    def test_one_that_is_too_large_is_let_in_alone(self, limit: TokenLimit) -> None:
        assert limit.admits(Ticket("a", "t", 0.0, 5_000), Load(0, 9))
        assert not limit.admits(Ticket("a", "t", 0.0, 5_000), Load(1, 9))

    @pytest.mark.parametrize(("kv", "share", "most"), [(0, 0.9, None), (10, 0.0, None), (10, 1.1, None), (10, 0.9, 0)])
    def test_a_setting_out_of_range_is_refused(self, kv: int, share: float, most: int | None) -> None:
        with pytest.raises(ValueError, match="at"):
            TokenLimit(kv_tokens=kv, share=share, max_inflight=most)


class _Watched(FixedLimit):
    """Learns the pace as the steered limit does, and steers nothing."""

    def __init__(self, places: int) -> None:
        super().__init__(max_inflight=places)
        self.pace = Pace()

    def entered(self, ticket: Ticket, load: Load) -> None:
        self.pace.seen(load)

    def first_token(self, ticket: Ticket, load: Load) -> None:
        self.pace.first_token(ticket, load)

    def ended(self, served: Served, load: Load) -> None:
        self.pace.ended(served, load)
        self.pace.refit()


class TestPace:
    def test_it_finds_the_engines_law(self) -> None:
        watched = _Watched(64)
        run(watched, CROWDED, rate=5.0)
        law = watched.pace.law
        assert law is not None
        assert law.step_s == pytest.approx(CROWDED.step_s, rel=0.05)
        assert law.prefill_s == pytest.approx(CROWDED.prefill_s, rel=0.05)
        assert law.seconds(0, 40, 40 * 400) == pytest.approx(CROWDED.seconds(0, 40, 40 * 400), rel=0.03)

    def test_nothing_is_said_before_enough_was_seen(self) -> None:
        assert Pace().tpot() is None

    def test_who_failed_says_nothing(self) -> None:
        pace = Pace()
        one = Ticket("a", "t", 0.0, 10)
        pace.first_token(one, Load(1, 0, now_s=1.0))
        assert pace.ended(Served(one, 0.0, 1.0, 2.0, 10, 20, complete=False), Load(0, 0, now_s=2.0)) is None

    def test_it_counts_who_decoded_beside_it(self) -> None:
        pace = Pace()
        one, other = Ticket("a", "t", 0.0, 10), Ticket("b", "t", 0.0, 10)
        pace.first_token(one, Load(1, 0, 10, now_s=0.0))
        pace.first_token(other, Load(2, 0, 20, now_s=1.0))
        pace.ended(Served(other, 0.0, 1.0, 2.0, 10, 20), Load(1, 0, 10, now_s=2.0))
        assert pace.ended(Served(one, 0.0, 0.0, 4.0, 10, 20), Load(0, 0, now_s=4.0)) == pytest.approx(1.25)


class TestAwaited:
    def test_a_stream_that_hangs_keeps_nobody_out_for_long(self) -> None:
        awaited = Awaited()
        awaited.entered("hangs", 0.0, 0.5)
        awaited.entered("later", 3.0, 0.5)
        assert awaited.overdue(5.6)
        assert awaited.overdue(6.0), "the later one"
        awaited.left("later")
        assert not awaited.overdue(6.0)

    def test_who_should_have_had_its_first_token_long_ago_is_overdue(self) -> None:
        awaited = Awaited()
        awaited.entered("a", 10.0, 0.5)
        assert not awaited.overdue(10.7)
        assert awaited.overdue(10.71)
        awaited.read("a", 10.71, 5)
        assert not awaited.overdue(99.0)

    def test_who_is_overtaken_is_not_kept_by_a_queue(self) -> None:
        awaited = Awaited()
        awaited.entered("silent", 0.0, 0.1)
        awaited.entered("b", 1.0, 0.1)
        awaited.entered("c", 1.0, 0.1)
        awaited.read("b", 1.1, 5)
        assert not awaited.overdue(1.3)
        assert awaited.overdue(1.4), "c"

    def test_who_left_is_forgotten(self) -> None:
        awaited = Awaited()
        awaited.entered("a", 0.0, 0.1)
        awaited.left("a")
        awaited.left("a")
        awaited.read("a", 1.0, 5)
        assert not awaited.overdue(9.0)

    def test_the_way_to_the_engine_is_learned(self) -> None:
        awaited = Awaited()
        for number in range(64):
            awaited.entered("a", number, 0.1)
            awaited.read("a", number + 0.5 + number % 3, 5)
        awaited.entered("b", 100.0, 0.1)
        assert not awaited.overdue(100.69)
        assert awaited.overdue(100.71)

    def test_a_queue_that_was_there_from_the_start_is_not_taken_for_the_way(self) -> None:
        awaited = Awaited()
        awaited.entered("a", 0.0, 0.1)
        awaited.read("a", 30.0, 5)
        awaited.entered("b", 100.0, 0.1)
        assert awaited.overdue(100.81)

    def test_one_in_time_makes_room_and_one_too_late_takes_it(self) -> None:
        awaited = Awaited()
        assert awaited.room == math.inf
        awaited.entered("a", 0.0, 0.1)
        awaited.read("a", 0.31, 24)
        assert awaited.room == 24
        for number in range(3):
            awaited.entered("b", number + 1.0, 0.1)
            awaited.read("b", number + 1.1, 24)
        assert awaited.room == 27

    def test_memory_is_bounded(self) -> None:
        awaited = Awaited()
        for number in range(9_000):
            awaited.entered(str(number), number, 1.0)
        awaited.read("0", 9_000.0, 5)  # was forgotten: says nothing
        awaited.read("8999", 9_000.0, 5)
        assert not awaited.overdue(1e9)
