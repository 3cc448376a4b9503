"""What the cache saved, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay.middleware.events import Finished
from forebay.middleware.records import CacheStatus, Ending
from forebay.middleware.savings import Savings, day_of
from forebay.middleware.state import StateStore

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0


def finished(status: CacheStatus, *, usd: float = 0.0, **labels: str) -> Finished:
    return Finished("fb-1", "big", "t", status, Ending.COMPLETE, 0.1, 10, 5, labels=labels, saved_usd=usd)


def test_requests_are_counted_and_hits_are_savings(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state.db")
    now = [0.0]
    savings: Any = Savings(state, clock=lambda: now[0])
    savings.request_finished(finished(CacheStatus.MISS, key="a", team="x"))
    savings.request_finished(finished(CacheStatus.EXACT, usd=0.25, key="a", team="x"))
    savings.request_finished(finished(CacheStatus.SEMANTIC, usd=0.5, key="b", team="x"))
    savings.request_finished(finished(CacheStatus.SHADOW, usd=9.0, key="b", team="x"))
    now[0] = DAY_S
    savings.request_finished(finished(CacheStatus.INFLIGHT))
    assert state.flush()
    assert state.saved("key", "1970-01-01") == [("", 1, 1, 15, 0.0), ("a", 2, 1, 15, 0.25), ("b", 2, 1, 15, 0.5)]
    assert state.saved("team", "1970-01-01") == [("x", 4, 2, 30, 0.75), ("", 1, 1, 15, 0.0)]
    assert state.saved("day", "1970-01-01") == [("1970-01-01", 4, 2, 30, 0.75), ("1970-01-02", 1, 1, 15, 0.0)]
    assert state.saved("model", "1970-01-02") == [("big", 1, 1, 15, 0.0)]
    state.close()


def test_two_processes_add_up(tmp_path: Path) -> None:
    stores = [StateStore(tmp_path / "state.db") for _ in range(2)]
    for state in stores:
        state.count_saved(("2026-01-31", "k", "", "m"), hit=True, tokens=3, usd=0.1)
        state.close()
    again = StateStore(tmp_path / "state.db")
    ((name, requests, hits, tokens, usd),) = again.saved("key", "2026-01-01")
    again.close()
    assert (name, requests, hits, tokens, round(usd, 6)) == ("k", 2, 2, 6, 0.2)


def test_days_are_utc() -> None:
    assert day_of(0.0) == "1970-01-01"
    assert day_of(DAY_S - 0.001) == "1970-01-01"
