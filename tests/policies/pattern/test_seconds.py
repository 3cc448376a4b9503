"""Counts by second, and how bursty they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.pattern.seconds import BINS_S, LEAST_BINS, Seconds


def watched(times: list[float], window_s: float = 300.0) -> Seconds:
    seconds = Seconds(window_s)
    for time in times:
        seconds.add(time)
    return seconds


def test_before_enough_came_nothing_is_said() -> None:
    assert Seconds(300.0).dispersion(5.0) == {}
    assert watched([0.5]).dispersion(0.9) == {}
    assert set(watched([0.5, 3.5]).dispersion(7.0)) == {1}


def test_more_come_than_any_window_of_requests_holds() -> None:
    seconds = watched([at / 100 for at in range(40_000)])
    found = seconds.dispersion(400.0)
    assert found == dict.fromkeys(BINS_S, pytest.approx(0.0))


@given(st.lists(st.floats(0, 50), max_size=80), st.integers(5, 40), st.floats(0, 30))
def test_it_is_the_variance_over_the_mean_of_whole_bins(gaps: list[float], window_s: int, rest: float) -> None:
    times = np.cumsum([0.0, *(gap / 10 for gap in gaps)]).tolist()
    now_s = times[-1] + rest
    found = watched(times, window_s).dispersion(now_s)
    start, stop = max(1, int(now_s) - window_s), int(now_s)
    for length in BINS_S:
        bins = max(0, stop - start) // length
        edges = [stop - at * length for at in range(bins, -1, -1)]
        counts = np.array([sum(low <= time < high for time in times) for low, high in pairwise(edges)])
        if bins >= LEAST_BINS and counts.any():
            assert found[length] == pytest.approx(counts.var() / counts.mean())
        else:
            assert length not in found


def test_after_a_silence_the_old_is_gone() -> None:
    seconds = watched([0.1] * 50 + [1000.0, 1001.0])
    assert seconds.dispersion(1006.0) == {
        1: pytest.approx(1.0, abs=0.1),
        10: pytest.approx(1.9, abs=0.3),
        60: pytest.approx(1.6),
    }
    assert seconds.dispersion(5000.0) == {}
