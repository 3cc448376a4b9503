from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from forebay.adapters.lab.eviction import run
from forebay.adapters.lab.eviction_replay import optimum, peers, replay
from forebay.adapters.lab.eviction_traces import Requests
from forebay.middleware.errors import ConfigError
from forebay.plugins.lab import eviction_tools
from forebay.policies.eviction.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW = {"trace", "capacity", "capacity_entries", "policy", "source", "hit_ratio", "cost_saved", "cost"}
# of the four keys "a" is asked for every second time, the others in turn
KEYS = [0, 1, 0, 2, 0, 3] * 4


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("key,cost\n" + "".join(f"k{key},{1 + 9 * (key == 1)}\n" for key in KEYS), encoding="utf-8")
    return path


def lab_run(*words: object) -> tuple[int, str]:
    out = io.StringIO()
    status = run(eviction_tools(), [*map(str, words)], Console(file=out, width=120))
    return status, out.getvalue()


def rows_in(path: Path) -> Sequence[dict[str, Any]]:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report.keys() == {"command", "version", "machine", "rows"}
    assert report["command"] == "lab eviction"
    rows: Sequence[dict[str, Any]] = report["rows"]
    return rows


def requests(keys: Sequence[int], costs: Sequence[float] = ()) -> Requests:
    names = [str(key) for key in range(max(keys) + 1)]
    return Requests("made", keys, costs or [1.0] * len(keys), names)


def test_the_report(trace: Path, tmp_path: Path) -> None:
    status, shown = lab_run(trace, "--capacity", "2,50%", "--json", tmp_path / "out.json")
    assert status == 0
    rows = rows_in(tmp_path / "out.json")
    assert all(row.keys() == ROW for row in rows)
    assert {(row["capacity"], row["capacity_entries"]) for row in rows} == {("2", 2), ("50%", 2)}
    own = [row["policy"] for row in rows if row["source"] == "forebay" and row["capacity"] == "2"]
    assert own == list(eviction_tools().policies)
    assert {row["source"] for row in rows} >= {"forebay", "optimum"}
    assert {row["cost"] for row in rows} == {"costs of the trace"}
    (lru,) = [row for row in rows if (row["policy"], row["source"], row["capacity"]) == ("lru", "forebay", "2")]
    assert lru["hit_ratio"] == pytest.approx(11 / 24, abs=1e-5)  # "a" but for the first time, nothing else
    assert lru["cost_saved"] == pytest.approx(11 / (12 + 4 * 10 + 8), abs=1e-5)
    assert "mine.csv: 24 requests, 4 keys; cost: costs of the trace" in shown
    assert "45.8" in shown


def test_the_optimum_is_the_best_that_can_be_had() -> None:
    of = requests([0, 1, 2] * 6)  # in turn, with room for two of three
    assert replay(of, LRU(max_entries=2)).hit_ratio == 0.0
    assert optimum(of, 2).hit_ratio == pytest.approx(10 / 18)
    assert optimum(of, 3).hit_ratio == pytest.approx(15 / 18)
    assert optimum(requests(KEYS), 2).hit_ratio >= replay(requests(KEYS), LRU(max_entries=2)).hit_ratio


def brute(keys: Sequence[int], held: frozenset[int], most: int) -> int:
    """Return the most hits that any decisions could have."""
    if not keys:
        return 0
    key, rest = keys[0], keys[1:]
    if key in held:
        return 1 + brute(rest, held, most)
    ways = [held] + [held - {gone} | {key} for gone in held if len(held) >= most]
    ways += [held | {key}] if len(held) < most else []
    return max(brute(rest, way, most) for way in ways)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_decisions_have_more_hits_than_the_optimum(most: int) -> None:
    keys = [0, 1, 2, 3, 0, 1, 4, 0, 1, 2, 3, 4]
    assert optimum(requests(keys), most).hit_ratio * len(keys) == pytest.approx(brute(keys, frozenset(), most))


def test_other_libraries_caches_decide_as_ours_do_where_the_policy_is_the_same() -> None:
    of = requests([key * key % 53 for key in range(400)])
    found = peers(20)
    ours = replay(of, LRU(max_entries=20))
    theirs = [policies["LRU"] for policies in found.values() if "LRU" in policies]
    assert theirs, "cachetools is installed for the tests"
    for play in theirs:
        assert play(of, 20) == ours


def test_costs_come_from_a_file(trace: Path, tmp_path: Path) -> None:
    costs, out = tmp_path / "costs.csv", tmp_path / "out.json"
    costs.write_text("key,cost\nk0,5\nk1,0\nk2,0\nk3,0\n", encoding="utf-8")
    assert lab_run(trace, "--cost", costs, "--capacity", 2, "--no-peers", "--json", out)[0] == 0
    (lru,) = [row for row in rows_in(out) if row["policy"] == "lru"]
    assert lru["cost_saved"] == pytest.approx(11 / 12, abs=1e-5)
    assert lru["cost"] == "costs of costs.csv"


def test_costs_are_drawn_from_a_log_with_a_seed(tmp_path: Path) -> None:
    keys, log, out = tmp_path / "keys.txt", tmp_path / "log.csv", tmp_path / "out.json"
    keys.write_text("\n".join(map(str, KEYS)), encoding="utf-8")
    log.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"t,9,{n}\n" for n in range(1, 60)))

    def saved(seed: int) -> list[float]:
        assert lab_run(keys, "--lengths", log, "--seed", seed, "--capacity", 2, "--json", out)[0] == 0
        assert {row["cost"] for row in rows_in(out)} == {f"output tokens, a length of log.csv a key, seed {seed}"}
        return [row["cost_saved"] for row in rows_in(out)]

    assert saved(1) == saved(1)
    assert saved(1) != saved(2)


@pytest.mark.parametrize("words", ["0", "101%", "half", "", "-3", "5,0%"])
def test_a_capacity_that_is_none_is_refused(trace: Path, words: str) -> None:
    with pytest.raises(ConfigError, match="such as 500,5%,10%"):
        lab_run(trace, f"--capacity={words}")


def test_costs_are_had_from_one_place(trace: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        lab_run(trace, "--cost", trace, "--lengths", trace)
    with pytest.raises(ConfigError, match="at least 1"):
        lab_run(trace, "--limit", 0)
