from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.lab.pairs import LabelledPair, PairsError, read_pairs

if TYPE_CHECKING:
    from pathlib import Path


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    turns = [{"role": "user", "content": "x"}]
    lines = [
        {"a": "x", "b": "y", "same_answer": True, "category": "near"},
        {"a": turns, "b": turns, "same_answer": False},
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert read_pairs(path) == [
        LabelledPair("x", "y", same=True, category="near"),
        LabelledPair(turns, turns, same=False),
    ]


def test_tab_separated_and_zipped(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(gzip.compress(b'text_a\ttext_b\tlabel\n"a\nb"\tc\t1\nd\te\t0\n'))
    assert read_pairs(path) == [LabelledPair("a\nb", "c", same=True), LabelledPair("d", "e", same=False)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "holds no pairs"),
        ("a.jsonl", b"\xff", "cannot be read"),
        ("a.jsonl", b'{"a": "secret"}', "line 1: not a pair"),
        ("a.jsonl", b'{"a": "secret", "b": [], "same_answer": true}', "line 1: not a pair"),
        ("a.jsonl", b'{"a": "secret", "b": "y", "same_answer": "perhaps"}', "line 1: not a pair"),
        ("a.tsv", b"question\tlabel\n", "must name the columns"),
        ("a.tsv", b"text_a\ttext_b\tlabel\nsecret\ty\tmaybe\n", "line 2"),
        ("a.tsv.gz", b"no gzip", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_without_the_text(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PairsError, match=said) as caught:
        read_pairs(path)
    assert "secret" not in str(caught.value)
