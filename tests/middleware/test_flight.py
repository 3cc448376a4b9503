"""The state of one request, whose events come twice, out of order, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN

from forebay.middleware.admission.gate import Lease
from forebay.middleware.admission.tickets import Ticket
from forebay.middleware.analysis.facts import RequestFacts
from forebay.middleware.flight import Flight
from forebay.middleware.records import (
    Answer,
    CacheStatus,
    Ending,
    Entry,
    Hit,
    Key,
    Miss,
    Mode,
    Request,
    Tier,
)

FACTS = RequestFacts(1, 1, "question", cacheable=True, semantic=True)
KEY = Key("s", "", "e", "q")
ENTRY = Entry("e", "s", "", "q", Answer({}), "m", "t", 0.0, 1.0)
ANSWER = Answer({"id": "one"})


def hit(tier: Tier = Tier.EXACT) -> Hit:
    return Hit(tier, ENTRY, 1.0, 1.0, 0.0)


def flight(mode: Mode = Mode.SERVE) -> Flight:
    return Flight(Request(id="r", model="m", messages=()), mode, INVALID_SPAN, now_s=0.0)


class Slot:
    """A lease that counts how often it comes back."""

    def __init__(self) -> None:
        self.returned = 0
        gate: Any = self
        self.lease = Lease(gate, Ticket("r", "t", 0.0), 0.0, 0.0)

    def clock(self) -> float:
        return 0.0

    def give_back(self, lease: Lease) -> None:
        assert lease is self.lease
        self.returned += 1


def test_each_event_takes_effect_once_and_says_so() -> None:
    one = flight()
    assert [one.analyzed(FACTS, KEY), one.analyzed(FACTS, None)] == [True, False]
    assert one.key is KEY
    assert [one.found(Miss("no_candidate")), one.found(hit())] == [True, False]
    assert one.hit is None
    assert [one.first_token(), one.first_token()] == [True, False]
    assert [one.ended(Ending.COMPLETE), one.ended(Ending.FAILED)] == [True, False]
    assert one.ending is Ending.COMPLETE


@pytest.mark.parametrize("tier", Tier)
def test_a_hit_shows_in_the_status(tier: Tier) -> None:
    one = flight()
    one.found(hit(tier))
    assert one.status == tier.value
    assert one.hit == hit(tier)


def test_what_a_miss_shows_in_the_status() -> None:
    plain, shadow, off = flight(), flight(Mode.SHADOW), flight(Mode.OFF)
    plain.found(Miss("no_candidate"))
    shadow.found(Miss("shadow", shadow=hit()))
    off.found(Miss("bypass"))
    assert [one.status for one in (plain, shadow, off)] == [
        CacheStatus.MISS,
        CacheStatus.SHADOW,
        CacheStatus.BYPASS,
    ]


def test_a_twins_answer_turns_a_miss_into_a_hit() -> None:
    one = flight()
    one.found(Miss("inflight"))
    one.served_by(hit(Tier.INFLIGHT))
    assert one.status is CacheStatus.INFLIGHT
    assert one.hit is not None


def test_a_hit_may_be_withdrawn_and_a_miss_keeps_its_reason() -> None:
    one, other = flight(), flight()
    one.found(hit())
    one.withdrawn("edited")
    assert one.lookup == Miss("edited")
    assert one.status is CacheStatus.MISS
    other.found(Miss("no_candidate"))
    other.withdrawn("edited")
    assert other.lookup == Miss("no_candidate")


def test_a_lease_comes_back_once_however_the_flight_ends() -> None:
    one, slot = flight(), Slot()
    one.leased(slot.lease)
    one.release()
    one.release()
    one.ended(Ending.COMPLETE)
    assert slot.returned == 1


def test_the_end_gives_the_lease_back_even_when_it_comes_twice() -> None:
    one, first, second = flight(), Slot(), Slot()
    one.leased(first.lease)
    one.ended(Ending.ABANDONED)
    one.lease = second.lease
    one.ended(Ending.COMPLETE)
    assert [first.returned, second.returned] == [1, 1]


def test_a_lease_that_comes_after_the_end_goes_back_at_once() -> None:
    one, slot = flight(), Slot()
    one.ended(Ending.CANCELLED)
    one.leased(slot.lease)
    assert slot.returned == 1
    assert one.lease is None


def test_a_retry_gives_the_earlier_attempts_lease_back() -> None:
    one, first, second = flight(), Slot(), Slot()
    one.leased(first.lease)
    one.leased(second.lease)
    assert [first.returned, second.returned] == [1, 0]
    one.ended(Ending.COMPLETE)
    assert [first.returned, second.returned] == [1, 1]


async def test_the_last_answer_counts() -> None:
    one = flight()
    assert one.answered(ANSWER)
    assert one.answered(Answer({"id": "two"}))
    assert one.answer == Answer({"id": "two"})
    one.dropped()
    assert one.answer is None
    assert not one.candidate.is_set()
    one.ended(Ending.COMPLETE)
    assert one.answered(ANSWER)  # a host may bring it in a task of its own, after the end
    one.settled.set()
    assert not one.answered(Answer({"id": "late"}))
    assert one.answer == ANSWER


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.ABANDONED])
def test_after_a_bad_ending_no_answer_is_taken(ending: Ending) -> None:
    one = flight()
    one.ended(ending)
    assert not one.answered(ANSWER)
    assert one.answer is None


async def test_the_end_stops_the_deadline() -> None:
    one = flight()
    one.timer = asyncio.get_running_loop().call_later(60.0, one.ended, Ending.ABANDONED)
    one.ended(Ending.COMPLETE)
    assert one.timer.cancelled()


def test_the_span_of_an_earlier_attempt_ends_as_failed() -> None:
    tracer = TracerProvider().get_tracer("tests")
    one, first, second = flight(), tracer.start_span("first"), tracer.start_span("second")
    one.entered(first)
    one.entered(second)
    assert not first.is_recording()
    assert second.is_recording()
    assert one.engine_span is second


def lease(one: Flight, slots: list[Slot]) -> None:
    slots.append(Slot())
    one.leased(slots[-1].lease)


EVENTS: dict[str, Callable[[Flight, list[Slot]], object]] = {
    "analyzed": lambda one, _slots: one.analyzed(FACTS, KEY),
    "found a hit": lambda one, _slots: one.found(hit()),
    "found nothing": lambda one, _slots: one.found(Miss("no_candidate")),
    "served by a twin": lambda one, _slots: one.served_by(hit(Tier.INFLIGHT)),
    "withdrawn": lambda one, _slots: one.withdrawn("edited"),
    "leased": lease,
    "released": lambda one, _slots: one.release(),
    "answered": lambda one, _slots: one.answered(ANSWER),
    "dropped": lambda one, _slots: one.dropped(),
    "shed": lambda one, _slots: one.shed(),
    "complete": lambda one, _slots: one.ended(Ending.COMPLETE),
    "failed": lambda one, _slots: one.ended(Ending.FAILED),
    "cancelled": lambda one, _slots: one.ended(Ending.CANCELLED),
}


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=20))
def test_in_any_order_of_events_at_most_one_lease_is_out_and_none_after_the_end(order: list[str]) -> None:
    one = flight()
    slots: list[Slot] = []
    first_ending: Ending | None = None
    for event in order:
        EVENTS[event](one, slots)
        first_ending = first_ending or one.ending
        assert one.ending is first_ending
        out = [slot for slot in slots if not slot.returned]
        assert len(out) <= (0 if one.ending is not None else 1)
        assert all(slot.returned <= 1 for slot in slots)
        assert (one.hit is None) is not isinstance(one.lookup, Hit)
