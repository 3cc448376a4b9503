from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from forebay.adapters.lab.command import run as run_lab
from forebay.adapters.lab.length_measure import kendall
from forebay.adapters.lab.scheduling import run
from forebay.adapters.lab.scheduling_lengths import noisy
from forebay.adapters.lab.scheduling_policies import DIRECT, find_policies, shipped
from forebay.adapters.lab.scheduling_profile import BUILT_IN, DEFAULT
from forebay.adapters.lab.scheduling_tools import Row
from forebay.adapters.lab.traces import TraceError
from forebay.middleware.errors import ConfigError, ForebayError
from forebay.plugins import lab

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW = [
    "trace",
    "rows",
    "profile",
    "rho",
    "policy",
    "tenant",
    "n",
    "goodput",
    "rejected",
    "mean_e2e_s",
    "p99_ttft_s",
    "max_ttft_s",
    "p99_tpot_s",
    "tokens_per_s",
    "seconds_per_token",
]
USE = {"tokens_in_flight", "running", "kv_use", "idle_with_work_s", "prefix_hit", "preemptions"}
GATED = "fcfs+fixed:max_inflight=64"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    draw = random.Random(1)
    now_s, lines = 100.0, list[str]()
    for number in range(300):
        now_s += draw.expovariate(2.0)
        line: dict[str, object] = {"timestamp_s": now_s}
        line |= {"input_tokens": draw.randint(20, 2000), "output_tokens": draw.randint(1, 500)}
        line |= {"tenant": "big" if number % 3 else "small", "priority": "interactive" if number % 2 else "batch"}
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def lab_run(*words: object, width: int = 100) -> tuple[int, str]:
    out = io.StringIO()
    status = run(lab.scheduling_tools(), [*map(str, words)], Console(file=out, width=width))
    return status, out.getvalue()


def rows_in(path: Path) -> Sequence[dict[str, Any]]:
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report.keys() == {"command", "version", "machine", "rows"}
    assert report["command"] == "lab scheduling"
    rows: Sequence[dict[str, Any]] = report["rows"]
    return rows


def test_the_report(trace: Path, tmp_path: Path) -> None:
    status, shown = lab_run(trace, "--rho", "0.6,1.2", "--policy", GATED, "--json", tmp_path / "out.json")
    assert status == 0
    rows = rows_in(tmp_path / "out.json")
    assert [(row["policy"], row["rho"]) for row in rows] == [
        (policy, rho) for rho in (0.6, 1.2) for policy in (DIRECT, GATED)
    ]
    for row in rows:
        assert list(row)[: len(ROW)] == ROW
        assert row.keys() >= USE
        assert (row["trace"], row["rows"], row["profile"], row["n"]) == ("mine.jsonl", "0:300", DEFAULT, 300)
        assert (row["tenant"], row["rejected"], row["idle_with_work_s"]) == ("all", 0, 0)
        assert 0 < row["goodput"] <= 1
        assert 0 < row["running"] < 1
    quiet, busy = rows[0], rows[2]
    assert quiet["goodput"] > busy["goodput"]
    assert quiet["mean_e2e_s"] < busy["mean_e2e_s"]
    assert busy["requests_per_s"] == pytest.approx(2 * quiet["requests_per_s"], rel=1e-3)
    assert "mine.jsonl, rows 0:300, rho 0.6" in shown
    assert "tau 0.44" in shown
    # the same seed, the same result
    lab_run(trace, "--rho", "0.6,1.2", "--policy", GATED, "--json", tmp_path / "again.json")
    assert rows_in(tmp_path / "again.json") == rows


def test_its_own_load_and_its_groups(trace: Path, tmp_path: Path) -> None:
    words = (trace, "--rho", "own", "--rows", "50:250", "--policy", GATED, "--json", tmp_path / "out.json")
    lab_run(*words, "--by", "tenant")
    rows = [row for row in rows_in(tmp_path / "out.json") if row["policy"] == DIRECT]
    assert [(row["tenant"], row["n"], row["rows"]) for row in rows] == [
        ("all", 200, "50:250"),
        ("big", 133, "50:250"),
        ("small", 67, "50:250"),
    ]
    assert rows[0]["requests_per_s"] == pytest.approx(2.0, rel=0.2)
    _, shown = lab_run(*words, "--by", "class", "--objective", "ttft=.001", "--objective", "batch:total=1000")
    rows = [row for row in rows_in(tmp_path / "out.json") if row["policy"] == DIRECT]
    assert {row["tenant"]: row["goodput"] for row in rows} == {"all": 0.5, "batch": 1.0, "interactive": 0.0}
    assert "batch total 1000 s" in shown


def test_a_config_file_brings_its_bounds_and_objectives(trace: Path, tmp_path: Path) -> None:
    config = tmp_path / "forebay.yaml"
    config.write_text(
        "ordering: {type: fcfs}\nlimit: {type: fixed, max_inflight: 4}\nadmission: {max_queue: 3, queue_timeout_s: 5}\n"
        "objectives: {batch: {total_s: 1}}\n",
        encoding="utf-8",
    )
    _, shown = lab_run(trace, "--rho", "1", "--policy", config, "--json", tmp_path / "out.json")
    direct, own = rows_in(tmp_path / "out.json")
    assert (direct["policy"], own["policy"]) == (DIRECT, "forebay.yaml")
    assert own["rejected"] > 100
    assert "batch total 1 s" in shown


def test_several_engines_and_processes(trace: Path, tmp_path: Path) -> None:
    lab_run(trace, "--rho", ".8", "--policy", GATED, "--engines", 2, "--processes", 2, "--json", tmp_path / "out.json")
    two = rows_in(tmp_path / "out.json")
    lab_run(trace, "--rho", ".8", "--policy", GATED, "--json", tmp_path / "out.json")
    one = rows_in(tmp_path / "out.json")
    assert two[0]["requests_per_s"] > 1.5 * one[0]["requests_per_s"]
    assert (two[1]["engines"], two[1]["processes"]) == (2, 2)


def test_the_real_predictor_where_there_is_text(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    kinds = {"List ten ideas for a garden, one a line": 200, "Is the pool open?": 5}
    lines = [
        {"timestamp_s": float(at), "input_tokens": 20, "output_tokens": tokens + at % 3, "prompt": f"{text} {at}"}
        for at in range(60)
        for text, tokens in [list(kinds.items())[at % 2]]
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    tools = lab.scheduling_tools()
    seen: list[tuple[float, float]] = []

    def play(rows: Any, said: Sequence[tuple[float, float]], profile: Any, setup: Any) -> Any:
        seen[:] = said
        return tools.play(rows, said, profile, setup)

    blind = type(tools.length)(tools.length.predictor, None, tools.length.analyzer, tools.length.classifiers)
    listening = type(tools)(play, tools.calibrate, blind)
    out = io.StringIO()
    words = [str(path), "--rho", "own", "--policy", "fcfs+none"]
    assert run(listening, words, Console(file=out, width=100)) == 0
    assert "the shipped predictor" in out.getvalue()
    assert seen[0] == (0.0, 0.0) or seen[0][0] > 0
    late = seen[40:]
    assert min(median for median, _ in late[::2]) > max(median for median, _ in late[1::2])


@pytest.mark.parametrize("tau", [0.3, 0.44, 0.8])
def test_noise_is_as_strong_as_it_is_said_to_be(tau: float) -> None:
    draw = random.Random(2)
    rows = [Row(0.0, 1, max(1, round(draw.lognormvariate(5, 1)))) for _ in range(2000)]
    said = noisy(rows, tau, 7)
    assert kendall([median for median, _ in said], [row.output for row in rows]) == pytest.approx(tau, abs=0.02)
    assert sum(row.output <= q90 for row, (_, q90) in zip(rows, said, strict=True)) / 2000 == pytest.approx(
        0.9, abs=0.03
    )
    assert noisy(rows, tau, 7) == said
    assert noisy(rows[:5], 1.0, 7) == [(row.output, row.output) for row in rows[:5]]


def test_the_picture(trace: Path, tmp_path: Path) -> None:
    assert lab_run(trace, "--policy", GATED, "--plot", tmp_path / "picture.png")[0] == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_ships_can_be_built(tmp_path: Path) -> None:
    direct, own = find_policies(shipped(), tmp_path)
    assert (direct.name, direct.make) == (DIRECT, None)
    assert own.make is not None
    assert len(own.make()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a trace"),
        (("{trace}", "--rho", "0.7,x"), "--rho"),
        (("{trace}", "--rho", "0"), "--rho"),
        (("{trace}", "--rows", "5"), "--rows must be"),
        (("{trace}", "--rows", "9:3"), "--rows must be"),
        (("{trace}", "--rows", "1000:"), "leaves none"),
        (("{trace}", "--noise", "1.5"), "--noise"),
        (("{trace}", "--engines", "0"), "at least 1"),
        (("{trace}", "--objective", "ttft=x"), "--objective"),
        (("{trace}", "--objective", "interactiv:ttft=2"), "Did you mean 'interactive'"),
        (("{trace}", "--policy", "fcfs"), "not ORDERING"),
        (("{trace}", "--policy", "fcsf+none"), "Did you mean 'fcfs'"),
        (("{trace}", "--policy", "fcfs+fixed:max_inflight"), ":key=value"),
        (("{trace}", "--policy", "fcfs+fixed:max_inflight=2:max_inflite=3"), "Did you mean 'max_inflight'"),
        (("{trace}", "--policy", "fcfs+none+nobody"), "shedding"),
        (("{trace}", "--policy", "missing.yaml"), "missing.yaml"),
        (("{trace}", "--profile", "rtx409"), "there is no profile"),
        (("{trace}", "--profile", "missing.json"), "cannot be read"),
        (("{trace}", "--shape", "max_seqs=3"), "unknown key"),
        (("{trace}", "--shape", "max_num_seqs=0"), "cannot be"),
        (("{trace}", "--shape", "max_num_seqs=4096"), "max_num_batched_tokens"),
        (("{trace}", "--shape", "kv_tokens=16"), "at least two requests"),
        (("nowhere.csv",), "cannot be read"),
        (("--calibrate", "nowhere.jsonl"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(trace: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ForebayError, match=said):
        lab_run(*(word.replace("{trace}", str(trace)) for word in words))


def test_requests_that_never_fit_are_left_out_and_said(trace: Path, tmp_path: Path) -> None:
    _, shown = lab_run(trace, "--shape", "kv_tokens=1600", "--policy", GATED, "--json", tmp_path / "out.json")
    kept = rows_in(tmp_path / "out.json")[0]["n"]
    assert 0 < kept < 300
    assert f"{300 - kept} requests left out" in shown


def test_all_at_the_same_time_is_no_load(tmp_path: Path) -> None:
    path = tmp_path / "same.csv"
    path.write_text("ts_s,input_tokens,output_tokens\n1,5,5\n1,5,5\n", encoding="utf-8")
    with pytest.raises(TraceError, match="one after the other"):
        lab_run(path)


def test_help() -> None:
    out = io.StringIO()
    assert run_lab(lab.parts(), [], Console(file=out)) == 0
    assert "scheduling" in out.getvalue()
    assert lab_run("--no-such-flag")[0] == 2


def test_built_in_profiles_are_those_that_were_measured() -> None:
    assert list(BUILT_IN) == ["rtxpro6000-llama-3.1-8b", "rtx4090-llama-3.1-8b"]
    with pytest.raises(ConfigError):
        lab_run("--engines", "1")
