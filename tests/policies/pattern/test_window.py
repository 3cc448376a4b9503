"""The analyzer "pattern"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.analysis.stream import Arrival, Pattern, StreamFacts
from forebay.policies.pattern.bands import PRIORS
from forebay.policies.pattern.window import SETTLED_S, StreamPattern
from tests.contract.stream_analyzer import StreamAnalyzerContract


class TestContract(StreamAnalyzerContract):
    fills: ClassVar[frozenset[str]] = frozenset({"pattern"})

    @pytest.fixture
    def make(self) -> Callable[[], StreamPattern]:
        return StreamPattern


def arrival(now_s: float, exact: str = "", angle: float | None = None, **changes: object) -> Arrival:
    vector = None if angle is None else (math.cos(angle), math.sin(angle))
    made = Arrival(now_s, scope="s", exact=exact, vector=vector, input_tokens=10, output_tokens=5.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def read(arrivals: Iterable[Arrival], now_s: float, analyzer: StreamPattern | None = None) -> Pattern:
    analyzer = analyzer or StreamPattern()
    for each in arrivals:
        analyzer.arrived(each)
    found = analyzer.read(now_s, StreamFacts()).pattern
    assert found is not None
    return found


def test_rate_and_regularity() -> None:
    found = read((arrival(at * 0.5) for at in range(121)), 60.0)
    assert (found.window_s, found.requests) == (60.0, 121)
    assert found.rate == pytest.approx(121 / 60)
    assert found.interarrival_cv == pytest.approx(0.0, abs=1e-9)
    assert found.burst[1] < 0.2
    assert 60 not in found.burst  # one bin says nothing


def test_a_poisson_process_has_the_figures_of_one() -> None:
    times = np.cumsum(np.random.default_rng(3).exponential(1 / 6, 1790)).tolist()
    found = read(map(arrival, times), times[-1])
    assert found.interarrival_cv == pytest.approx(1.0, abs=0.1)
    assert found.burst[1] == pytest.approx(1.0, abs=0.25)
    assert found.burst[10] == pytest.approx(1.0, abs=0.6)


def test_bursts_show_in_bins_as_long_as_they_are() -> None:
    found = read((arrival(burst * 20.0 + at * 0.01) for burst in range(15) for at in range(50)), 301.5)
    assert found.burst[1] > 20
    assert found.burst[10] > found.burst[60]
    assert found.interarrival_cv is not None
    assert found.interarrival_cv > 3


def test_what_is_older_than_the_window_is_forgotten() -> None:
    analyzer = StreamPattern(window_s=10.0)
    found = read([arrival(float(at), "a", tenant=f"t{at}", template="x") for at in range(30)], 29.0, analyzer)
    assert (found.window_s, found.requests) == (10.0, 11)
    assert set(found.tenants) <= {f"t{at}" for at in range(19, 30)}
    later = read([], 100.0, analyzer)
    assert (later.requests, later.rate, dict(later.tenants), later.same_share) == (0, 0.0, {}, 0.0)
    assert read([arrival(101.0, "a")], 101.0, analyzer).same_share == 0.0


def test_of_too_many_the_last_are_kept() -> None:
    found = read([arrival(at * 0.1, str(at)) for at in range(100)], 9.9, StreamPattern(most=20))
    assert found.requests == 20
    assert found.window_s == pytest.approx(2.0)  # complete since the last one that was dropped
    assert found.rate == pytest.approx(10.0)


def test_the_share_of_equal_ones() -> None:
    found = read([arrival(float(at), name) for at, name in enumerate("abaac")], 5.0)
    assert found.same_share == pytest.approx(2 / 5)
    assert found.savings.same == found.savings.requests == 2.0
    assert found.savings.tokens == 30.0


def test_those_without_a_key_are_like_no_other() -> None:
    assert read([arrival(0.0, "", 0.0), arrival(1.0, "", 0.0)], 2.0).savings.requests == 0.0


def test_the_share_of_nearly_equal_ones() -> None:
    names = [("a", 0.0), ("b", 0.1), ("c", 1.5), ("a", 0.0)]
    found = read([arrival(float(at), name, angle) for at, (name, angle) in enumerate(names)], 4.0)
    assert (found.same_share, found.similar_share) == (0.25, 0.25)
    assert found.savings.similar == pytest.approx(PRIORS[-1])


@pytest.mark.parametrize("change", [{"scope": "t"}, {"comparable": "c"}])
def test_only_those_of_one_scope_and_context_are_compared(change: dict[str, object]) -> None:
    found = read([arrival(0.0, "a", 0.0), arrival(1.0, "b", 0.0, **change)], 2.0)
    assert found.similar_share == 0.0


def test_a_vector_older_than_the_window_is_not_compared() -> None:
    analyzer = StreamPattern(window_s=10.0)
    assert read([arrival(0.0, "a", 0.0), arrival(20.0, "b", 0.0)], 20.0, analyzer).similar_share == 0.0


def test_what_was_answered_by_a_similar_one_answers_nobody() -> None:
    three = [arrival(0.0, "a", 0.0), arrival(1.0, "b", 0.4, hit=True), arrival(2.0, "c", 0.75)]
    assert read(three, 3.0, StreamPattern(similar=0.9)).similar_share == pytest.approx(1 / 3)


def test_mixes_are_shares_of_all_and_the_largest_few() -> None:
    many = [arrival(float(at), tenant=f"t{min(at, 6)}", template="x" if at % 2 else "") for at in range(20)]
    found = read(many, 20.0)
    assert len(found.tenants) == 5
    assert found.tenants["t6"] == pytest.approx(14 / 20)
    assert dict(found.templates) == {"x": 0.5}


def test_percentiles_are_of_the_known() -> None:
    many = [arrival(float(at), input_tokens=at + 1, output_tokens=float(at % 2 * 100)) for at in range(101)]
    found = read(many, 101.0)
    assert found.input_tokens == pytest.approx((11.0, 51.0, 91.0))
    assert found.output_tokens == (100.0, 100.0, 100.0)


def test_the_share_of_prompt_blocks_that_began_an_earlier_prompt() -> None:
    chains = [(1, 12, 123), (1, 12, 124, 1245), (9,), (1, 12, 124, 1245)]
    found = read([arrival(float(at), prefix=chain) for at, chain in enumerate(chains)], 4.0)
    assert found.prefix_share == pytest.approx((2 + 4) / (3 + 4 + 1 + 4))


@given(st.lists(st.lists(st.integers(0, 2), max_size=4), max_size=25), st.integers(2, 8))
def test_prefix_sharing_is_that_of_the_window(paths: list[list[int]], most: int) -> None:
    def chain(path: list[int]) -> tuple[int, ...]:
        return tuple(hash(tuple(path[: at + 1])) for at in range(len(path)))

    analyzer = StreamPattern(most=most)
    shared: list[int] = []
    for at, path in enumerate(paths):
        window = paths[max(0, at - most + 1) : at]
        shared.append(max((_agreement(path, other) for other in window), default=0))
        analyzer.arrived(arrival(float(at), prefix=chain(path)))
    found = read([], float(len(paths)), analyzer)
    blocks = sum(map(len, paths[-most:]))
    assert found.prefix_share == pytest.approx(sum(shared[-most:]) / max(blocks, 1))


def _agreement(one: list[int], other: list[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_it_learns_which_near_duplicates_are_served() -> None:
    analyzer = StreamPattern(window_s=1e6)
    for at in range(100):
        start = at * 10 * SETTLED_S
        analyzer.arrived(arrival(start, f"a{at}", 0.0, scope=str(at)))
        analyzer.arrived(arrival(start + 2 * SETTLED_S, f"b{at}", 0.05, scope=str(at), hit=True))
    assert analyzer.bands.similar(math.cos(0.05)) > 0.95
    two = [arrival(0.0, "x", 0.0), arrival(0.0, "y", 0.05)]
    assert analyzer.expected(two).similar > 0.95
    (row,) = analyzer.report()
    assert (row["n"], row["served"]) == (100, 1.0)


def test_it_learns_whether_equal_ones_are_served() -> None:
    analyzer = StreamPattern(window_s=1e6)
    for at in range(100):
        analyzer.arrived(arrival(at * 2 * SETTLED_S, "a"))
    assert analyzer.expected([arrival(0.0, "x"), arrival(0.0, "x")]).requests < 0.1


def test_nothing_is_learned_of_what_may_still_be_computed() -> None:
    analyzer = StreamPattern()
    for at in range(20):
        analyzer.arrived(arrival(at * SETTLED_S / 40, "a"))
        analyzer.arrived(arrival(at * SETTLED_S / 40, f"b{at}", at / 100))
    assert analyzer.report() == []


def test_what_was_learned_outlives_the_process_and_the_window_does_not() -> None:
    analyzer, other = StreamPattern(window_s=1e6), StreamPattern()
    for at in range(50):
        analyzer.arrived(arrival(at * 2 * SETTLED_S, "a"))
    other.restore(analyzer.snapshot())
    assert other.bands.same() == analyzer.bands.same() < 0.5
    assert read([], 1.0, other).requests == 0
