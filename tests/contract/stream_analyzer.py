"""What every analyzer of the stream must do: subclass `StreamAnalyzerContract` and give it a fixture `make`.

`make` returns a new analyzer at each call, always with the same settings.
"""

from __future__ import annotations

import copy
import json
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.analysis.protocols import StreamAnalyzer
from forebay.middleware.analysis.stream import Arrival, Forecast, Pattern, StreamFacts
from forebay.middleware.narrow import is_array, is_object
from forebay.middleware.records import JsonObject

Make: TypeAlias = Callable[[], StreamAnalyzer]

MEGABYTE = 1_000_000
DAY_S = 86_400.0
OTHERS = StreamFacts(
    pattern=Pattern(window_s=7.0, requests=3, rate=3 / 7),
    forecasts={7.0: Forecast(7.0, 1.0, 0.5, 2.0, "other")},
    tenants={"other": {7.0: Forecast(7.0, 1.0, 0.5, 2.0, "other")}},
)
ABSURD = (
    Arrival(0.0, tenant="", model="", text="\ud800\x00", template="", prefix=()),
    Arrival(0.0, tenant="t" * 100_000, model="m" * 100_000, scope="s", exact="e" * 10_000, text="x" * 100_000),
    Arrival(0.0, input_tokens=10**30, output_tokens=1e300, prefix=tuple(range(20_000))),
    Arrival(0.0, input_tokens=-5, output_tokens=-1.0, prefix=(0, 0, -1, 2**80)),
    Arrival(0.0, scope="s", exact="e", comparable="c", vector=()),
    Arrival(0.0, scope="s", exact="f", comparable="c", vector=(math.nan, math.inf, 0.0)),
    Arrival(0.0, scope="s", exact="g", comparable="c", vector=(0.0,) * 8),
    Arrival(0.0, scope="s", exact="h", comparable="c", vector=(1.0, 0.0)),
    Arrival(0.0, output_tokens=math.nan),
    Arrival(0.0, output_tokens=math.inf),
)


def traffic(count: int = 400, *, start_s: float = 1_000.0, gap_s: float = 0.37) -> Iterator[Arrival]:
    """Return ordinary arrivals: three tenants, five questions, each with a vector, evenly spaced."""
    for number in range(count):
        question = number * 7 % 5
        yield Arrival(
            now_s=start_s + number * gap_s,
            tenant=f"team-{number % 3}",
            model="small",
            scope="scope",
            exact=f"exact-{question}",
            comparable="same",
            text=f"question {question}",
            vector=tuple(1.0 if axis == question else 0.0 for axis in range(5)),
            template=f"template-{question % 2}",
            prefix=(1, 2, 3 + question),
            input_tokens=100 + question,
            output_tokens=50.0,
        )


def feed(analyzer: StreamAnalyzer, arrivals: Iterator[Arrival]) -> float:
    """Tell the analyzer of all and return the time of the last."""
    last_s = 0.0
    for arrival in arrivals:
        analyzer.arrived(arrival)
        last_s = arrival.now_s
    return last_s


def crowd(start: int, stop: int, gap_s: float) -> Iterator[Arrival]:
    """Return arrivals that have nothing in common with one another."""
    for number in range(start, stop):
        yield Arrival(
            now_s=number * gap_s,
            tenant=f"tenant-{number}",
            model=f"model-{number}",
            scope=f"scope-{number}",
            exact=f"exact-{number}",
            comparable=f"comparable-{number}",
            text=f"question {number}",
            vector=(math.cos(number), math.sin(number)),
            template=f"template-{number}",
            prefix=(number, -number),
            input_tokens=number,
            output_tokens=float(number),
        )


class StreamAnalyzerContract:
    """What is asked of every one.

    Attributes:
        fills: the fields of `StreamFacts` that are its own.
        full_at: arrivals `crowd_gap_s` apart after which it grows no more.
    """

    fills: ClassVar[frozenset[str]]
    full_at: ClassVar[int] = 5_000
    crowd_gap_s: ClassVar[float] = 0.5

    def test_it_is_a_stream_analyzer(self, make: Make) -> None:
        assert isinstance(make(), StreamAnalyzer)

    def test_it_can_be_read_before_anything_came(self, make: Make) -> None:
        assert isinstance(make().read(0.0, StreamFacts()), StreamFacts)
        assert isinstance(make().read(123.4, StreamFacts()), StreamFacts)
        assert_flat(make().report())

    def test_what_others_found_stays(self, make: Make) -> None:
        analyzer = make()
        assert others_of(self.fills, analyzer.read(0.0, OTHERS)) == others_of(self.fills, OTHERS)
        last_s = feed(analyzer, traffic())
        assert others_of(self.fills, analyzer.read(last_s, OTHERS)) == others_of(self.fills, OTHERS)

    def test_its_own_is_found(self, make: Make) -> None:
        analyzer = make()
        last_s = feed(analyzer, traffic())
        found = analyzer.read(last_s, StreamFacts())
        assert all(getattr(found, name) for name in self.fills)

    def test_equal_streams_are_read_equally(self, make: Make) -> None:
        left, right = make(), make()
        for arrival in traffic():
            left.arrived(arrival)
            right.arrived(arrival)
            assert left.read(arrival.now_s, StreamFacts()) == right.read(arrival.now_s, StreamFacts())
        assert left.report() == right.report()
        assert left.snapshot() == right.snapshot()

    def test_reading_changes_nothing_that_is_read(self, make: Make) -> None:
        analyzer = make()
        last_s = feed(analyzer, traffic())
        assert analyzer.read(last_s + 3.0, StreamFacts()) == analyzer.read(last_s + 3.0, StreamFacts())

    def test_all_at_one_moment(self, make: Make) -> None:
        analyzer = make()
        for arrival in traffic(gap_s=0.0):
            analyzer.arrived(arrival)
        assert isinstance(analyzer.read(1_000.0, StreamFacts()), StreamFacts)
        assert isinstance(analyzer.read(1_001.0, StreamFacts()), StreamFacts)

    def test_it_may_be_read_as_of_a_moment_before_the_last_arrival(self, make: Make) -> None:
        analyzer = make()
        last_s = feed(analyzer, traffic())
        assert isinstance(analyzer.read(last_s - 1e-6, StreamFacts()), StreamFacts)

    @pytest.mark.parametrize("gap_s", [DAY_S, 400 * DAY_S, 1e9])
    def test_a_long_silence_costs_no_more_than_a_short_one(self, make: Make, gap_s: float) -> None:
        analyzer = make()
        last_s = feed(analyzer, traffic())
        started = time.process_time()
        analyzer.read(last_s + gap_s, StreamFacts())
        last_s = feed(analyzer, traffic(20, start_s=last_s + 2 * gap_s))
        assert isinstance(analyzer.read(last_s, StreamFacts()), StreamFacts)
        assert time.process_time() - started < 1.0

    def test_absurd_arrivals_are_survived(self, make: Make) -> None:
        analyzer = make()
        for at, arrival in enumerate(ABSURD * 3):
            analyzer.arrived(replace(arrival, now_s=float(at)))
            assert isinstance(analyzer.read(float(at), StreamFacts()), StreamFacts)
        json.dumps(analyzer.snapshot(), allow_nan=False)
        assert_flat(analyzer.report())
        last_s = feed(analyzer, traffic())
        found = analyzer.read(last_s, StreamFacts())
        assert all(getattr(found, name) for name in self.fills)

    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture]
    )
    @given(gaps=st.lists(st.floats(0.0, 1e6) | st.floats(0.0, 1.0), max_size=60), tenants=st.integers(1, 80))
    def test_any_gaps_can_be_read(self, make: Make, gaps: Sequence[float], tenants: int) -> None:
        analyzer = make()
        now_s = 0.0
        for number, gap_s in enumerate(gaps):
            now_s += gap_s
            analyzer.arrived(Arrival(now_s, tenant=f"tenant-{number % tenants}", exact=str(number % 3), scope="s"))
            assert isinstance(analyzer.read(now_s, StreamFacts()), StreamFacts)

    def test_its_state_is_bounded(self, make: Make) -> None:
        analyzer = make()
        tracemalloc.start()
        try:
            feed(analyzer, crowd(0, self.full_at, self.crowd_gap_s))
            before = tracemalloc.get_traced_memory()[0]
            now_s = feed(analyzer, crowd(self.full_at, 3 * self.full_at, self.crowd_gap_s))
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert after < 1.25 * before + 20_000
        assert len(json.dumps(analyzer.snapshot())) < MEGABYTE
        assert isinstance(analyzer.read(now_s, StreamFacts()), StreamFacts)

    def test_a_snapshot_is_json_and_is_taken_over(self, make: Make) -> None:
        analyzer, other = make(), make()
        feed(analyzer, traffic())
        state = json.loads(json.dumps(analyzer.snapshot(), allow_nan=False))
        other.restore(state)
        assert other.snapshot() == state

    def test_a_new_one_has_a_snapshot_that_is_taken_over(self, make: Make) -> None:
        state = json.loads(json.dumps(make().snapshot(), allow_nan=False))
        other = make()
        other.restore(state)
        assert other.snapshot() == state

    def test_the_clock_of_the_next_process_starts_anew(self, make: Make) -> None:
        analyzer, other = make(), make()
        feed(analyzer, traffic(start_s=1e7))
        other.restore(analyzer.snapshot())
        last_s = feed(other, traffic(start_s=2.0))
        found = other.read(last_s, StreamFacts())
        assert all(getattr(found, name) for name in self.fills)

    def test_a_snapshot_shows_no_text(self, make: Make) -> None:
        analyzer = make()
        for arrival in traffic():
            analyzer.arrived(replace(arrival, text="the secret question"))
        assert "secret" not in json.dumps(analyzer.snapshot())
        assert "secret" not in json.dumps(list(analyzer.report()))

    @pytest.mark.parametrize("state", [None, [], 3, "state", {"schema": -1}, {"schema": "1"}, {"other": 1}])
    def test_another_ones_state_is_refused(self, make: Make, state: Any) -> None:
        analyzer = make()
        feed(analyzer, traffic())
        before = copy.deepcopy(analyzer.snapshot())
        with pytest.raises((ValueError, KeyError, TypeError)):
            analyzer.restore(state)
        assert analyzer.snapshot() == before

    def test_a_damaged_state_is_refused_or_works(self, make: Make) -> None:
        source = make()
        last_s = feed(source, traffic())
        state = json.loads(json.dumps(source.snapshot()))
        for broken in damaged(state):
            analyzer = make()
            feed(analyzer, traffic(50))
            before = copy.deepcopy(analyzer.snapshot())
            try:
                analyzer.restore(broken)
            except (ValueError, KeyError, TypeError):
                assert analyzer.snapshot() == before
            feed(analyzer, traffic(20, start_s=last_s))
            assert isinstance(analyzer.read(last_s + 20.0, StreamFacts()), StreamFacts)
            json.dumps(analyzer.snapshot(), allow_nan=False)

    def test_the_report_is_flat(self, make: Make) -> None:
        analyzer = make()
        feed(analyzer, traffic())
        assert_flat(analyzer.report())


def others_of(own: frozenset[str], facts: StreamFacts) -> dict[str, Any]:
    """Return the fields that are not the analyzer's."""
    return {each.name: getattr(facts, each.name) for each in fields(facts) if each.name not in own}


def assert_flat(rows: Sequence[JsonObject]) -> None:
    """Each row is a JSON object without objects or lists in it."""
    json.dumps(list(rows), allow_nan=False)
    for row in rows:
        assert all(value is None or isinstance(value, str | int | float | bool) for value in row.values())


def damaged(state: Any) -> Iterator[Any]:
    """Return the state with each of its parts (a hundred or so) missing, and replaced by two of seven values in turn."""
    values: Sequence[Any] = (None, "x", -1, math.inf, [], {}, [[]])
    every = [*places(state)]
    for at, place in enumerate(every[:: len(every) // 100 + 1]):
        for value in (values[at % 7], values[(at + 3) % 7]):
            broken = copy.deepcopy(state)
            holder_of(broken, place)[place[-1]] = value
            yield broken
        broken = copy.deepcopy(state)
        del holder_of(broken, place)[place[-1]]
        yield broken


def holder_of(state: Any, place: tuple[Any, ...]) -> Any:
    """Return the object or list that the part lies in."""
    for step in place[:-1]:
        state = state[step]
    return state


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Return the way to each part; of a list only its first and last."""
    steps: list[Any] = []
    if is_object(value):
        steps = list(value)
    elif is_array(value):
        steps = sorted({0, len(value) - 1} - {-1})
    for step in steps:
        yield (step,)
        for rest in places(value[step]):
            yield (step, *rest)
