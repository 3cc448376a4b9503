from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.lab.traces import TraceError, read_trace

if TYPE_CHECKING:
    from pathlib import Path

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:50.9951690,3,4\n2023-11-16 18:15:46.6805900,1,2\n"
ARENA = "req_id,model_dir,req_time\n0,small,0.0\n1,small,0.25\n"
RATES = "client,ts_s,rate_rps\n0,600,0.5\n1,600,2\n0,1200,0.25\n1,2400,1\n"


def lines(*rows: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize(
    ("name", "text", "times_s"),
    [
        ("azure.csv", AZURE, [0.0, 4.314579]),
        ("arena.csv", ARENA, [0.0, 0.25]),
        ("mooncake.jsonl", lines(*({"timestamp": at, "hash_ids": [1]} for at in (0, 0, 3000))), [0.0, 0.0, 3.0]),
        ("own.jsonl", lines({"ts_s": 5.5}, {"ts_s": 5.0}), [0.0, 0.5]),
        ("own.jsonl", lines({"created": 1_700_000_000}, {"created": 1_700_000_002}), [0.0, 2.0]),
        ("own.jsonl", lines({"timestamp": 1_700_000_000_000}, {"timestamp": 1_700_000_000_250}), [0.0, 0.25]),
        ("own.jsonl", lines({"timestamp": 1_700_000_000_000_000}, {"timestamp": 1_700_000_001_000_000}), [0.0, 1.0]),
        ("own.csv", "timestamp\n1700000000000\n1700000000500\n", [0.0, 0.5]),
        (
            "spend.json",
            json.dumps(
                [{"startTime": "2024-01-01T00:00:00Z"}, {"startTime": "2024-01-01T02:00:01.5+02:00"}],
            ),
            [0.0, 1.5],
        ),
        ("one.jsonl", "\n" + lines({"time": "2024-01-01T00:00:00"}) + "\n\n", [0.0]),
    ],
)
def test_times(tmp_path: Path, name: str, text: str, times_s: list[float]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    trace = read_trace(path)
    assert trace.name == name
    assert trace.times_s == pytest.approx(times_s)
    assert trace.rates is None


def test_the_unit_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "own.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp\n1000\n3500\n"))
    assert read_trace(path).times_s == pytest.approx([0.0, 2500.0])
    assert read_trace(path, "ms").times_s == pytest.approx([0.0, 2.5])


def test_a_table_of_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES, encoding="utf-8")
    trace = read_trace(path)
    assert trace.window_s == 600.0
    # the busiest first; the window at 1800, of which nothing is known, is left out
    assert trace.rates is not None
    assert [*trace.rates.items()] == [("1", [1200.0, 0.0, 600.0]), ("0", [300.0, 150.0, 0.0])]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "holds no requests"),
        ("a.csv", b"timestamp\n", "holds no requests"),
        ("a.jsonl", b"\xff", "cannot be read"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.jsonl", b"secret", "line 1: not a JSON object"),
        ("a.jsonl", b'{"time": 1}\n["secret"]', "line 2: not a JSON object"),
        ("a.jsonl", b"[" * 100_000, "not a JSON object"),
        ("a.jsonl", b'{"when": "secret"}', "no column with the time"),
        ("a.jsonl", b'{"time": 1}\n{"when": 2}', "line 2: not a time; it must be a number"),
        ("a.jsonl", b'{"time": 1}\n{"time": true}', "line 2: not a time"),
        ("a.jsonl", b'{"time": NaN}', "line 1: not a time"),
        ("a.csv", b"time\nsecret\n", "line 2: not a time; it must be a date"),
        ("a.csv", b"time\n2024-01-01T00:00:00\nsecret\n", "line 3: not a time; it must be a date"),
        ("a.csv", b"client,ts_s,rate_rps\n0,0,-1\n", "line 2: rate_rps"),
        ("a.csv", b"client,ts_s,rate_rps\n0,0,1\n", "at least two windows"),
    ],
)
def test_what_is_wrong_is_said_without_the_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TraceError, match=said) as caught:
        read_trace(path)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")
