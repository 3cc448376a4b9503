from __future__ import annotations

from opentelemetry.trace import INVALID_SPAN

from forebay.middleware.analysis.watch import FRESH_S, StreamWatch
from forebay.middleware.flight import Flight
from forebay.middleware.records import Mode
from forebay.middleware.telemetry import Telemetry
from forebay.testing import chat
from tests.middleware.analysis.parts import Watches, crash


def flight() -> Flight:
    return Flight(chat("What is a forebay?", tenant="acme"), Mode.SERVE, INVALID_SPAN, now_s=0.0)


def test_a_request_without_facts_is_told_with_what_is_known() -> None:
    part = Watches()
    StreamWatch({"told": part}, Telemetry(enabled=False), 1.0, clock=lambda: 5.0).arrived(flight())
    (arrival,) = part.seen
    assert (arrival.now_s, arrival.tenant, arrival.exact, arrival.hit) == (5.0, "acme", "", False)


def test_facts_are_read_anew_once_a_second() -> None:
    now = [10.0]
    part = Watches()
    watch = StreamWatch({"told": part}, Telemetry(enabled=False), 1.0, clock=lambda: now[0])
    assert watch.facts().forecasts[10.0].rate == 0.0
    watch.arrived(flight())
    now[0] += FRESH_S / 2
    assert watch.facts().forecasts[10.0].rate == 0.0
    now[0] += FRESH_S / 2
    assert watch.facts().forecasts[10.0].rate == 1.0


def test_one_that_fails_leaves_the_others_facts() -> None:
    telemetry = Telemetry(enabled=False)
    watch = StreamWatch({"ill": Watches(crash), "well": Watches()}, telemetry, 1.0)
    watch.arrived(flight())
    assert watch.facts().forecasts[10.0].rate == 1.0
    assert sum(telemetry.counts.values()) == 2
