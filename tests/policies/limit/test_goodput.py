from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.protocols import Divisible, Steered
from forebay.middleware.admission.tickets import Load, Objective, Served, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.goodput import START, GoodputLimit
from forebay.policies.work.law import Law
from tests.contract.limit import LimitContract
from tests.contract.ordering import ticket
from tests.policies.limit.engines import CROWDED, FAST, OBJECTIVE, SLOW, run


class TestGoodputLimit(LimitContract):
    @pytest.fixture
    def limit(self) -> GoodputLimit:
        return GoodputLimit(max_inflight=64, kv_tokens=10_000)

    def test_it_is_steered_and_divisible(self, limit: GoodputLimit) -> None:
        assert isinstance(limit, Steered)
        assert isinstance(limit, Divisible)

    def test_it_starts_at_the_engines_own_number(self) -> None:
        assert GoodputLimit(max_inflight=40).places == 40
        assert GoodputLimit().places == START

    @pytest.mark.parametrize("wrong", [{"max_inflight": 0}, {"kv_tokens": 0}, {"reserve": {Priority.BATCH: 1.0}}])
    def test_a_setting_out_of_range_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="at least"):
            GoodputLimit(**wrong)  # type: ignore[arg-type]

    def test_it_comes_down_to_what_the_objective_allows(self) -> None:
        limit = GoodputLimit(max_inflight=128)
        courses = run(limit, CROWDED, rate=60.0, n=1_500)
        assert 60 <= limit.places <= 105
        late = courses[900:]
        assert sum((one.tpot_s or 0.0) <= 0.05 for one in late) > 0.85 * len(late)

    def test_below_saturation_it_delays_nobody(self) -> None:
        courses = run(GoodputLimit(max_inflight=128), CROWDED, rate=3.0)
        assert max((one.entered_s or math.inf) - one.arrival_s for one in courses) < 1e-9

    def test_a_cut_that_could_gain_nothing_is_not_made(self) -> None:
        """However few are inside, no token comes in time."""
        limit = GoodputLimit(max_inflight=64)
        run(limit, SLOW, rate=60.0, places=64)
        assert limit.places == 64

    def test_without_streams_it_stays_open(self) -> None:
        limit = GoodputLimit(max_inflight=64)
        for number in range(300):
            one = Ticket(str(number), "t", number, 100, 10.0, objective=OBJECTIVE)
            limit.entered(one, Load(64, 9, 6_400, now_s=number))
            limit.ended(Served(one, number, None, number + 9.0, 100, 10), Load(63, 9, 6_300, now_s=number + 9.0))
        assert limit.places == 64

    def test_without_an_objective_it_stays_open(self) -> None:
        limit = GoodputLimit(max_inflight=64)
        for number in range(300):
            one = Ticket(str(number), "t", number, 100, 10.0, stream=True)
            limit.entered(one, Load(64, 9, 6_400, now_s=number))
            limit.first_token(one, Load(64, 9, 6_400, now_s=number + 0.1))
            limit.ended(
                Served(one, number, number + 0.1, number + 9.0, 100, 10), Load(63, 9, 6_300, now_s=number + 9.0)
            )
        assert limit.places == 64

    def test_an_engine_of_which_nothing_is_known_gets_more_while_all_places_are_taken(self) -> None:
        limit = GoodputLimit()
        for number in range(100):
            one = Ticket(str(number), "t", number, 100)
            limit.ended(Served(one, number, None, number + 1.0, 100, 10), Load(limit.places - 1, 5, now_s=number + 1.0))
        assert limit.places == START + 100

    def test_the_kv_cache_holds_prompts_and_half_of_the_outputs(self) -> None:
        limit = GoodputLimit(max_inflight=64, kv_tokens=1_000)
        one = Ticket("a", "t", 0.0, 100, 100.0)
        assert limit.admits(one, Load(5, 0, 500, 1_000.0))  # 500 + 100 + (500 + 100) / 2 = 900
        assert not limit.admits(one, Load(5, 0, 560, 1_060.0))  # 960
        assert limit.admits(Ticket("b", "t", 0.0, 5_000), Load(0, 0))

    def test_predictions_are_corrected(self) -> None:
        limit = GoodputLimit(max_inflight=64, kv_tokens=1_000)
        one = Ticket("a", "t", 0.0, 100, 100.0)
        for number in range(50):
            limit.ended(Served(one, number, None, number + 1.0, 100, 50), Load(0, 0, now_s=number + 1.0))
        assert limit.admits(one, Load(5, 0, 560, 1_060.0))  # 560 + 100 + 600 / 4 = 810

    def test_places_are_kept_free_of_the_lower_classes_while_a_more_urgent_one_is_inside(self) -> None:
        limit = GoodputLimit(max_inflight=100, reserve={Priority.BATCH: 0.1})
        batch = Ticket("a", "t", 0.0, priority=Priority.BATCH)
        others = {Priority.STANDARD: 1, Priority.BATCH: 89}
        assert limit.admits(batch, Load(89, 0, classes=others))
        assert not limit.admits(batch, Load(90, 0, classes=others))
        assert limit.admits(batch, Load(99, 0, classes={Priority.BATCH: 98, Priority.BACKGROUND: 1}))
        assert limit.admits(ticket("b"), Load(99, 0, classes=others))

    def test_a_cut_is_taken_back_when_nothing_speaks_for_it_any_more(self) -> None:
        """The engine was slowed down by something else: the number inside had nothing to do with it."""
        limit = GoodputLimit(max_inflight=128)
        run(limit, CROWDED, rate=60.0, n=1_500)
        assert limit.places < 110
        run(limit, FAST, rate=60.0, n=1_500, since_s=10_000.0)
        assert limit.places == 128

    def test_a_cut_never_costs_more_than_half_of_what_comes_out(self) -> None:
        """Only with 4 inside or fewer, each token would be in time; those would serve a twentieth."""
        limit = GoodputLimit(max_inflight=128)
        law = Law(0.048, 4e-5, 3e-4, 0.0)
        run(limit, law, rate=60.0, n=1_500)
        assert limit.places / law.seconds(0, limit.places, 0) > 0.45 * 128 / law.seconds(0, 128, 0)

    def test_an_engine_with_fewer_places_than_was_said_is_not_made_to_queue_inside(self) -> None:
        def inside_s(limit: FixedLimit | GoodputLimit) -> float:
            courses = run(limit, FAST, rate=60.0, n=1_500, places=24)
            return max((one.first_s or math.inf) - (one.entered_s or 0.0) for one in courses[750:])

        assert inside_s(FixedLimit(max_inflight=128)) > 5.0
        assert inside_s(GoodputLimit(max_inflight=128)) < 2.0

    def test_a_stream_that_says_nothing_closes_it_only_until_another_has_its_first_token(self) -> None:
        limit = GoodputLimit(max_inflight=128)
        run(limit, FAST, rate=30.0)
        silent, next_one = (Ticket(name, "t", 1e4, 100, stream=True) for name in ("silent", "next"))
        limit.entered(silent, Load(5, 0, 500, prefilling=1, prefilling_tokens=100, now_s=1e4))
        assert not limit.admits(ticket("b"), Load(5, 0, 500, prefilling=1, now_s=1e4 + 4))
        assert limit.admits(ticket("b"), Load(5, 0, 500, prefilling=0, now_s=1e4 + 4)), "it has left untold"
        assert limit.admits(ticket("b"), Load(5, 0, 500, prefilling=1, now_s=1e4 + 60)), "it hangs"
        limit.entered(next_one, Load(6, 0, 600, prefilling=2, prefilling_tokens=200, now_s=1e4 + 60.9))
        limit.first_token(next_one, Load(6, 0, 600, prefilling=1, prefilling_tokens=100, now_s=1e4 + 61))
        assert limit.admits(ticket("b"), Load(6, 0, 600, prefilling=1, now_s=1e4 + 62))

    def test_same_requests_same_courses(self) -> None:
        first, second = (run(GoodputLimit(max_inflight=128), CROWDED, rate=30.0) for _ in range(2))
        assert first == second

    def test_late_ones_do_not_steer(self) -> None:
        """All are too late however long a token takes: nothing is gained by a cut."""
        limit = GoodputLimit(max_inflight=64)
        for number in range(300):
            one = Ticket(str(number), "t", number - 10.0, 100, 10.0, stream=True, objective=OBJECTIVE)
            limit.first_token(one, Load(64, 9, 6_400, now_s=number + 0.1))
            limit.ended(
                Served(one, number, number + 0.1, number + 9.0, 100, 10), Load(63, 9, 6_300, now_s=number + 9.0)
            )
        assert limit.places == 64


@settings(max_examples=25, deadline=None)
@given(
    law=st.tuples(st.floats(0.0, 0.1), st.floats(0.0, 1e-3), st.floats(0.0, 1e-2), st.floats(0.0, 1e-6)),
    rate=st.floats(0.5, 200.0),
    seed=st.integers(0, 100),
)
def test_nobody_is_kept_out_for_ever(law: tuple[float, float, float, float], rate: float, seed: int) -> None:
    limit = GoodputLimit(max_inflight=32)
    courses = run(limit, Law(1e-4 + law[0], *law[1:]), rate=rate, n=150, seed=seed, places=32)
    assert all(one.ended_s is not None for one in courses)
    assert 1 <= limit.places <= 32


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 1e6), st.integers(0, 10_000)), max_size=100))
def test_events_in_any_order_and_twice_do_no_harm(events: list[tuple[int, float, int]]) -> None:
    """Cancelled ones have no end, clocks of several callers cross, some are told twice."""
    limit = GoodputLimit(max_inflight=16)
    for number, (kind, at_s, tokens) in enumerate(events):
        one = Ticket(str(number % 7), "t", 0.0, tokens, stream=True, objective=Objective(tpot_s=0.01))
        load = Load(number % 20, 3, tokens, now_s=at_s)
        if kind == 0:
            limit.entered(one, load)
        elif kind == 1:
            limit.first_token(one, load)
        else:
            limit.ended(Served(one, 0.0, at_s / 2 if kind == 2 else None, at_s, tokens, tokens), load)
        assert 1 <= limit.places <= 16


def test_it_does_better_than_a_limit_that_does_not_steer() -> None:
    def good(limit: FixedLimit | GoodputLimit) -> float:
        courses = run(limit, CROWDED, rate=12.5, n=1_500, seed=3)
        return sum(
            OBJECTIVE.met(ttft_s=one.ttft_s, tpot_s=one.tpot_s, total_s=one.e2e_s or math.inf) for one in courses
        ) / len(courses)

    assert good(GoodputLimit(max_inflight=128)) >= good(FixedLimit(max_inflight=128)) - 0.005
    assert good(GoodputLimit(max_inflight=128)) > good(FixedLimit(max_inflight=32))
