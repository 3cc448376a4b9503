from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from forebay.middleware.analysis.protocols import StreamAnalyzer
from forebay.middleware.analysis.stream import Arrival, StreamFacts
from forebay.policies.forecast.analyzer import ALL, OTHERS, ForecastAnalyzer
from tests.contract.stream_analyzer import StreamAnalyzerContract

NOTHING = StreamFacts()


class TestForecastAnalyzer(StreamAnalyzerContract):
    fills = frozenset({"forecasts", "tenants"})
    crowd_gap_s = 0.03

    @pytest.fixture
    def make(self) -> Callable[[], StreamAnalyzer]:
        return ForecastAnalyzer


def evenly(rate: float, seconds: float, *, start_s: float = 0.0, tenant: str = "default") -> Iterator[Arrival]:
    for number in range(int(rate * seconds)):
        yield Arrival(start_s + number / rate, tenant=tenant)


def feed(analyzer: ForecastAnalyzer, *streams: Iterator[Arrival]) -> None:
    for arrival in sorted((each for stream in streams for each in stream), key=lambda each: each.now_s):
        analyzer.arrived(arrival)


def test_nothing_is_said_before_the_first_request() -> None:
    assert ForecastAnalyzer().read(5.0, NOTHING) is NOTHING


@pytest.mark.parametrize("after_s", [0.0, 0.3, 7.7])
def test_an_even_stream_goes_on_at_its_rate_whenever_it_is_read(after_s: float) -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(10.0, 300.0 + after_s))
    found = analyzer.read(300.0 + after_s, NOTHING)
    assert [*found.forecasts] == [1.0, 10.0, 60.0]
    for horizon_s, forecast in found.forecasts.items():
        assert forecast.horizon_s == horizon_s
        assert forecast.rate == pytest.approx(10.0, rel=0.05)
        assert forecast.low < 10.0 < forecast.high
        assert forecast.method


def test_the_first_seconds_are_believed_little() -> None:
    analyzer = ForecastAnalyzer()
    analyzer.arrived(Arrival(3.0))
    for forecast in analyzer.read(3.001, NOTHING).forecasts.values():
        assert forecast.rate * forecast.horizon_s < 6.0
        assert forecast.low < 2.0 / forecast.horizon_s


def test_silence_after_load_is_foretold_as_silence() -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(10.0, 120.0))
    found = analyzer.read(4_000.0, NOTHING)
    assert all(forecast.rate < 0.05 for forecast in found.forecasts.values())


def test_a_rise_within_the_open_window_is_seen_before_it_ends() -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(1.0, 300.0), evenly(20.0, 30.0, start_s=300.0))
    assert analyzer.read(330.0, NOTHING).forecasts[60.0].rate > 5.0


def test_each_tenant_has_forecasts_of_its_own() -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(8.0, 180.0, tenant="a"), evenly(2.0, 180.0, tenant="b"))
    found = analyzer.read(180.0, NOTHING)
    assert found.tenants.keys() == {"a", "b"}
    for horizon_s in (1.0, 10.0, 60.0):
        assert found.tenants["a"][horizon_s].rate == pytest.approx(8.0, rel=0.1)
        assert found.tenants["b"][horizon_s].rate == pytest.approx(2.0, rel=0.2)
        assert found.forecasts[horizon_s].rate == pytest.approx(10.0, rel=0.1)


def test_the_rest_is_told_together_and_the_busy_take_over() -> None:
    analyzer = ForecastAnalyzer(tenants=1)
    feed(analyzer, evenly(1.0, 30.0, tenant="early"), evenly(5.0, 59.0, tenant="busy", start_s=0.5))
    found = analyzer.read(59.0, NOTHING)
    assert found.tenants.keys() == {"early", OTHERS}
    assert found.tenants[OTHERS][10.0].rate == pytest.approx(5.0, rel=0.1)
    feed(analyzer, evenly(5.0, 120.0, tenant="busy", start_s=60.5))
    found = analyzer.read(180.0, NOTHING)
    assert found.tenants.keys() == {"busy", OTHERS}
    assert found.tenants["busy"][10.0].rate == pytest.approx(5.0, rel=0.1)


def test_names_that_are_too_long_are_among_the_others() -> None:
    analyzer = ForecastAnalyzer()
    analyzer.arrived(Arrival(0.0, tenant="x" * 10_000))
    assert analyzer.read(1.0, NOTHING).tenants.keys() == {OTHERS}


def test_forecasts_are_measured_against_what_came() -> None:
    analyzer = ForecastAnalyzer(horizons_s=(1.0,))
    feed(analyzer, (Arrival(second + 0.5) for second in range(100) for _ in range(6 if second % 2 else 2)))
    analyzer.read(100.5, NOTHING)
    (row,) = (row for row in analyzer.report() if row["series"] == ALL)
    assert row["n"] == 99
    # four more, four less: naive is wrong by four each time
    assert row["rmse"] == pytest.approx(row["rmse_over_naive"] * 4.0, rel=0.02)
    assert row["rmse_over_naive"] < 0.5
    assert sum(value for name, value in row.items() if name.startswith("best_")) == pytest.approx(1.0)


def test_what_was_learned_outlives_the_process() -> None:
    analyzer, other = ForecastAnalyzer(), ForecastAnalyzer()
    feed(analyzer, evenly(10.0, 300.0, start_s=1e6))
    before = analyzer.read(1e6 + 300.0, NOTHING)
    other.restore(analyzer.snapshot())
    after = other.read(5.0, NOTHING)
    for horizon_s, forecast in before.forecasts.items():
        assert after.forecasts[horizon_s].rate == pytest.approx(forecast.rate, rel=0.05)
    assert other.report() == analyzer.report()


def test_a_state_of_other_settings_is_refused() -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(1.0, 5.0, tenant="a"), evenly(1.0, 5.0, tenant="b"))
    for other in (ForecastAnalyzer(horizons_s=(1.0, 10.0)), ForecastAnalyzer(horizons_s=(1, 10, 30))):
        with pytest.raises(ValueError, match=r"horizons|bank"):
            other.restore(analyzer.snapshot())
    with pytest.raises(ValueError, match="too many"):
        ForecastAnalyzer(tenants=1).restore(analyzer.snapshot())


@pytest.mark.parametrize("now_s", [math.nan, math.inf, -math.inf, -5.0])
def test_a_time_that_cannot_be_is_the_last_one(now_s: float) -> None:
    analyzer = ForecastAnalyzer()
    feed(analyzer, evenly(10.0, 60.0))
    analyzer.arrived(Arrival(now_s))
    assert analyzer.read(now_s, NOTHING).forecasts[1.0].rate == pytest.approx(10.0, rel=0.25)


@pytest.mark.parametrize("horizons_s", [(), (0.0,), (-1.0,), (math.inf,), (math.nan,)])
def test_horizons_that_cannot_be(horizons_s: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="horizons_s"):
        ForecastAnalyzer(horizons_s=horizons_s)


def test_tenants_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="tenants"):
        ForecastAnalyzer(tenants=-1)
