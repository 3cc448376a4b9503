from __future__ import annotations

import gzip
import json
import lzma
import random
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.lab.eviction_traces import FORMS, ORACLE, read_requests, with_costs, with_lengths
from forebay.adapters.lab.traces import TraceError

if TYPE_CHECKING:
    from pathlib import Path

IDS = [7, 300_000, 7, 12, 300_000, 7]
DENSE = [0, 1, 0, 2, 1, 0]


def made(form: str) -> bytes:
    """Return the requests for `IDS` in a format."""
    many = IDS if form != "int32" else [*IDS, *(at * 70_001 for at in range(500))]
    match form:
        case "oracle":
            return b"".join(ORACLE.pack(at, name, 10, -1) for at, name in enumerate(many))
        case "int32":
            return struct.pack(f">{len(many)}i", *many)
        case "int64":
            return struct.pack(f">{len(many)}q", *many)
        case "lines":
            return "\n".join(map(str, many)).encode()
        case "sizes":
            return "\n".join(f"{at} {name} {name + 1}" for at, name in enumerate(many)).encode()
        case "mooncake":
            return "\n".join(json.dumps({"timestamp": 1, "hash_ids": [name]}) for name in many).encode()
        case _:
            return "\n".join(f"{name},{name + 1},99" for name in many).encode()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
@pytest.mark.parametrize("form", FORMS)
def test_each_format_is_read_and_known_by_its_looks(tmp_path: Path, form: str, packed: str, told: bool) -> None:
    path = tmp_path / f"some.trace{packed}"
    data = made(form)
    path.write_bytes({"": data, ".gz": gzip.compress(data), ".xz": lzma.compress(data)}[packed])
    found = read_requests(path, form if told else "", len(IDS))
    assert list(found.keys) == DENSE
    assert list(found.names) == ["7", "300000", "12"]
    own = {
        "sizes": [float(name + 1) for name in IDS],
        "csv": [float(name + 1) for name in IDS],
        "mooncake": [512.0] * 6,
    }
    assert list(found.costs) == own.get(form, [1.0] * 6)


def test_numbers_of_64_and_of_32_bits_are_told_apart(tmp_path: Path) -> None:
    draw, path = random.Random(1), tmp_path / "some.trace"
    for bits, letter in ((63, "q"), (31, "i")):
        names = [draw.getrandbits(bits) for _ in range(300)]
        keys = draw.choices(names, k=4000)
        path.write_bytes(struct.pack(f">4000{letter}", *keys))
        assert len(read_requests(path).keys) == 4000
        assert len(read_requests(path).names) == len(set(keys))


def test_a_header_and_words_for_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("key,cost\nwhat is it?,3\nanother,2.5\nwhat is it?,3\n", encoding="utf-8")
    found = read_requests(path)
    assert (list(found.keys), list(found.costs), found.unit) == ([0, 1, 0], [3.0, 2.5, 3.0], "costs of the trace")
    path.write_text("what is it?\nanother\n", encoding="utf-8")
    assert (read_requests(path).unit, list(read_requests(path).costs)) == ("requests", [1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.gz", b"not packed", "cannot be read"),
        ("a.xz", b"not packed", "cannot be read"),
        ("a.zst", b"x", "unpack it first"),
        ("a", b"", "no requests"),
        ("a", b"\x00\x01\x02", "--format"),
        ("a.csv", b"key,cost\nsecret,much\n", "--format"),
        ("a.csv", b"key,cost\nsecret,-1\n", "--format"),
        ("a.csv", b"key,cost\nsecret,2\nsecret\n", "--format"),
        ("a.jsonl", b'{"hash_ids": 3}\n', "--format"),
        ("a.jsonl", b'{"secret": []}\n', "--format"),
        ("a.oracleGeneral", b"\x00" * 25, "--format"),
    ],
)
def test_what_cannot_be_read_says_what_would_help(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TraceError, match=says) as raised:
        read_requests(path)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"missing\.csv cannot be read"):
        read_requests(tmp_path / "missing.csv")


def test_costs_must_be_there_for_every_key(tmp_path: Path) -> None:
    trace, costs = tmp_path / "t.csv", tmp_path / "c.csv"
    trace.write_text("a\nb\na\n", encoding="utf-8")
    costs.write_text("a,1\n", encoding="utf-8")
    with pytest.raises(TraceError, match="no cost for 1 of the 2 keys"):
        with_costs(read_requests(trace), costs)
    costs.write_text("a,1\nb,much\n", encoding="utf-8")
    with pytest.raises(TraceError, match="row 2"):
        with_costs(read_requests(trace), costs)
    costs.write_text("b,4\na,1\n", encoding="utf-8")
    assert list(with_costs(read_requests(trace), costs).costs) == [1.0, 4.0, 1.0]


def test_lengths_must_have_a_column(tmp_path: Path) -> None:
    trace, log = tmp_path / "t.csv", tmp_path / "log.jsonl"
    trace.write_text("a\nb\na\n", encoding="utf-8")
    log.write_text('{"other": 3}\n', encoding="utf-8")
    with pytest.raises(TraceError, match="output_tokens"):
        with_lengths(read_requests(trace), log, 1)
    log.write_text('{"output_tokens": 3}\n{"output_tokens": null}\n', encoding="utf-8")
    with pytest.raises(TraceError, match="no length"):
        with_lengths(read_requests(trace), log, 1)
    log.write_text('{"output_tokens": 3}\n', encoding="utf-8")
    assert list(with_lengths(read_requests(trace), log, 1).costs) == [3.0, 3.0, 3.0]


@given(data=st.binary(max_size=200), name=st.sampled_from(["a", "a.gz", "a.xz", "a.csv", "oracleGeneral"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    try:
        found = read_requests(path)
    except TraceError:
        return
    assert len(found.keys) == len(found.costs) > 0
    assert len(found.names) == max(found.keys) + 1
