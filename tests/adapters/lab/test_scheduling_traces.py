from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.adapters.lab.scheduling_servegen import MOST
from forebay.adapters.lab.scheduling_traces import HASHED, read_requests
from forebay.adapters.lab.traces import TraceError
from forebay.middleware.analysis.facts import Priority

if TYPE_CHECKING:
    from pathlib import Path

WINDOWS = "client,ts_s,rate_rps,cv,dist,p1,p2\na,0,2,1,Gamma,1,.5\nb,0,.5,3,Weibull,.4,1\na,600,1,1,Gamma,1,1\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_azure(tmp_path: Path) -> None:
    path = write(
        tmp_path / "conv.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:46.6805900,374,0\n",
    )
    requests = read_requests(path)
    assert (requests.name, requests.block) == ("conv.csv", None)
    assert [(row.prompt, row.output) for row in requests.rows] == [(374, 1), (396, 109)]
    assert requests.rows[0].at_s == 0
    assert requests.rows[1].at_s == pytest.approx(4.314579, abs=1e-5)


def test_mooncake(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 3000, "input_length": 600, "output_length": 7, "hash_ids": [0, 3]},
    ]
    requests = read_requests(write(tmp_path / "m.jsonl", "\n".join(map(json.dumps, lines))))
    assert requests.block == HASHED
    assert [(row.at_s, row.prompt, row.prefix) for row in requests.rows] == [(0, 1100, (0, 1, 2)), (3, 600, (0, 3))]


def test_vtc(tmp_path: Path) -> None:
    text = (
        "req_id,model_dir,adapter_dir,prompt_len,output_len,req_time\n0,m,lora-13,13,199,0.0\n1,m,lora-2,36,137,0.2\n"
    )
    requests = read_requests(write(tmp_path / "vtc.csv", text))
    assert [(row.tenant, row.prompt, row.output) for row in requests.rows] == [
        ("lora-13", 13, 199),
        ("lora-2", 36, 137),
    ]


def test_ones_own(tmp_path: Path) -> None:
    lines = [
        {
            "timestamp_s": 5.0,
            "input_tokens": 7,
            "output_tokens": 9,
            "tenant": "a",
            "model": "m",
            "priority": "batch",
            "deadline_s": 30,
            "prompt": "Hello",
        },
        {"timestamp_s": 4.0, "input_tokens": 8, "output_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]},
    ]
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    first, second = read_requests(path).rows
    assert (first.at_s, first.tenant, first.priority, first.deadline_s) == (0, "", Priority.STANDARD, None)
    assert first.messages == ({"role": "user", "content": "Hi"},)
    assert (second.at_s, second.tenant, second.model, second.priority) == (1, "a", "m", Priority.BATCH)
    assert (second.deadline_s, second.messages) == (30, ({"role": "user", "content": "Hello"},))


def test_lines_of_cache_warm(tmp_path: Path) -> None:
    line: dict[str, object] = {
        "request": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        "response": {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 6}},
        "tenant": "a",
        "created_s": 1.0,
    }
    path = write(tmp_path / "warm.jsonl", "\n".join(json.dumps({**line, "created_s": at}) for at in (1.0, 3.0)))
    rows = read_requests(path).rows
    assert [(row.at_s, row.prompt, row.output, row.tenant, row.model) for row in rows] == [
        (0, 4, 6, "a", "m"),
        (2, 4, 6, "a", "m"),
    ]
    assert rows[0].messages


def servegen(folder: Path) -> Path:
    grid = {"client": "a", "window_s": 0, "input_tokens": [10, 20, 100], "output_tokens": [0, 5, 6]}
    write(folder / "x_top_clients_lengths.jsonl", json.dumps(grid))
    return write(folder / "x_client_windows.csv", WINDOWS)


def test_servegen(tmp_path: Path) -> None:
    requests = read_requests(servegen(tmp_path))
    count = Counter(row.tenant for row in requests.rows)
    # as many as the rates say, whatever the shape of the gaps
    assert count == {"a": 1800, "b": 300}
    times = [row.at_s for row in requests.rows]
    assert times == sorted(times)
    assert times[0] == 0
    assert all(10 <= row.prompt <= 100 and 1 <= row.output <= 6 for row in requests.rows)
    assert len({row.prompt for row in requests.rows}) > 40
    assert read_requests(servegen(tmp_path)) == requests
    assert read_requests(servegen(tmp_path), seed=1) != requests
    some = read_requests(servegen(tmp_path), rows=(100, 150)).rows
    assert [row.tenant for row in some] == [row.tenant for row in requests.rows[100:150]]
    assert len(requests.rows) < MOST


def test_burstiness_is_drawn(tmp_path: Path) -> None:
    text = "client,ts_s,rate_rps,cv,dist,p1,p2\nsteady,0,2,1,Gamma,50,.01\nbursty,0,2,9,Weibull,.3,1\n"
    rows = read_requests(write(servegen(tmp_path), text)).rows
    spread: dict[str, float] = {}
    for name in ("steady", "bursty"):
        counts = Counter(int(row.at_s // 10) for row in rows if row.tenant == name)
        spread[name] = sum((counts[at] - 20) ** 2 for at in range(60)) / 60 / 20
    assert spread["steady"] < 0.2
    assert spread["bursty"] > 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "ts_s,tokens\n1,2\n", "ContextTokens"),
        ("x.csv", "when,input_tokens,output_tokens\n1,2,3\n", "time of a request"),
        ("x.csv", "ts_s,input_tokens,output_tokens\n1,2,3\n2,x,3\n", "line 3: input_tokens"),
        ("x.csv", "ts_s,input_tokens,output_tokens\n1,2,nan\n", "line 2: output_tokens"),
        ("x.csv", "ts_s,input_tokens,output_tokens,priority\n1,2,3,urgent\n", "interactive, standard"),
        ("x.csv", "ts_s,input_tokens,output_tokens,deadline_s\n1,2,3,-1\n", "deadline_s"),
        ("x.jsonl", '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": "a"}', "hash_ids"),
        ("x.jsonl", '{"request": {}, "response": {}, "created_s": 1}', "usage"),
        ("x.csv", WINDOWS, "--lengths"),
        ("x.csv", "client,ts_s,rate_rps\na,0,1\n", "draw from"),
        ("x.csv", "", "no requests"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    lengths = servegen(tmp_path).with_name("x_top_clients_lengths.jsonl") if "draw" in said else None
    with pytest.raises(TraceError, match=said):
        read_requests(write(tmp_path / name, text), lengths=lengths)


def test_quantiles_must_rise(tmp_path: Path) -> None:
    path = servegen(tmp_path)
    grid = {"client": "a", "window_s": 0, "input_tokens": [10, 5], "output_tokens": [1, 2]}
    lengths = write(tmp_path / "other.jsonl", json.dumps(grid))
    with pytest.raises(TraceError, match="rising"):
        read_requests(path, lengths=lengths)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_values_that_cannot_be_are_said_without_showing_them(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("trace") / "x.jsonl"
    write(path, json.dumps({"ts_s": 1, "input_tokens": value, "output_tokens": value, "priority": value}))
    try:
        rows = read_requests(path).rows
    except TraceError as error:
        told = str(error)
    else:
        told = "line 1"
        assert rows[0].prompt >= 1
    assert "line 1" in told
