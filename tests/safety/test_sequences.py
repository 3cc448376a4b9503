"""No sequence of requests, faults and time makes forebay serve what it must not: see `machine`."""

from __future__ import annotations

from collections import Counter

import pytest

from forebay.policies.context.reading import ContextualReading
from tests.safety.loop import StillLoop, StuckError
from tests.safety.machine import explore
from tests.safety.stack import Tier
from tests.safety.world import HISTORIES, PLACES, QUESTIONS, READINGS, Ask, Question

PARTS = 10
SEQUENCES = 500
"""In each part; 5,000 together."""

OFTEN = (
    *("client: exact", "client: inflight", "client: semantic", "client: miss", "clients left", "forgets", "full"),
    *("streams left before their end", "expired entries read", "engine: ok", "engine: length", "engine: error"),
)
SOMETIMES = (
    *OFTEN,
    *("client: shadow", "client: bypass", "similar twins", "damaged entries read", "fault: search foreign"),
    *("contexts in other words", "hits across conversations"),
    *("engine: filtered", "engine: empty", "engine: null", "engine: cut"),
)
STRUCK = ("get", "search", "put", "delete", "count", "scan", "embed")


def assert_told(seen: Counter[str], sequences: int, happened: tuple[str, ...], spared: int = 1) -> None:
    """The sequences went where something can go wrong: a suite that only sees misses proves nothing.

    What is drawn changes with the sources that hypothesis takes constants from, so an operation may go without a fault.

    Args:
        spared: how many operations may: behind a tier that answers from memory some are seldom asked for.
    """
    assert seen["sequences"] >= sequences
    unseen = [what for what in happened if not seen[what]]
    assert len(unseen) <= 1, unseen
    unhurt = [what for what in STRUCK if not any(each.startswith(f"fault: {what} ") for each in seen)]
    assert len(unhurt) <= spared, unhurt
    for tier in ("exact", "inflight", "semantic"):
        assert seen[f"client: {tier}"] > sequences / 4


def test_a_few_sequences() -> None:
    assert_told(explore(sequences=300, part=PARTS, steps=20), 300, OFTEN, spared=2)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_many_sequences(part: int) -> None:
    assert_told(explore(sequences=SEQUENCES, part=part), SEQUENCES, SOMETIMES)


@pytest.mark.slow
@pytest.mark.parametrize("tier", [Tier.HOT, Tier.HOT_SHARED])
def test_sequences_with_the_hot_tier(tier: Tier) -> None:
    assert_told(explore(sequences=SEQUENCES, part=PARTS, tier=tier), SEQUENCES, OFTEN, spared=4)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.text)
def test_conversations_are_read_as_the_tables_say(question: Question, history: str) -> None:
    reading = ContextualReading().read(Ask(QUESTIONS.index(question), history).request(1).messages)
    said = HISTORIES[history]
    assert reading.resolved == (said in ("", *PLACES))
    assert READINGS.get(reading.text, "") == (PLACES.get(said, "") if question.leans else "")
    assert bool(reading.text) == (question.leans and said in PLACES)


def test_time_passes_only_when_told_to() -> None:
    loop = StillLoop()
    rung: list[float] = []
    loop.call_later(5.0, lambda: rung.append(loop.time()))
    loop.settle()
    assert (loop.time(), rung) == (0.0, [])
    loop.pass_by(3_600.0)
    assert rung == [pytest.approx(5.0, abs=0.01)]
    assert loop.time() == pytest.approx(3_600.0, abs=0.01)
    with pytest.raises(StuckError):
        loop.run(loop.create_future())
    loop.close()
