"""The lines of an exported file."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.cli.cache_files import check_header, entry_of, header_of, line_of
from forebay.middleware.errors import ForebayError, PayloadError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Answer, Entry

KEYRING = Keyring.from_secret("a secret that is long enough")
OTHER = Keyring.from_secret("another secret, as long")
HEADER = header_of(KEYRING, version="1.2.3", created_s=5.0, embedder="model/8")

ENTRY = Entry(
    id="e1",
    scope="s",
    context="c",
    reading="what 'it' is",
    question="how does it work?",
    answer=Answer({"choices": [{"message": {"content": "well"}}]}, 3, 4),
    model="big",
    tenant="t",
    created_s=1.5,
    expires_s=2.5,
    vector=(0.5, 0.75),
    context_vector=(1.0, 0.0),
    embedder="model/2",
    cost=7.0,
    size_bytes=99,
    tags=("a", "b"),
    epoch=3,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
vectors = st.none() | st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8).map(tuple)
moments = st.floats(0, 1e12)
texts = st.text(st.characters())  # halves of surrogate pairs, too
entries = st.builds(
    Entry,
    id=texts,
    scope=texts,
    context=texts,
    question=texts,
    answer=st.builds(Answer, st.dictionaries(texts, values, max_size=3), st.integers(0), st.integers(0)),
    model=texts,
    tenant=texts,
    created_s=moments,
    expires_s=moments,
    vector=vectors,
    embedder=texts,
    cost=moments,
    size_bytes=st.integers(0),
    tags=st.lists(texts, max_size=3).map(tuple),
    epoch=st.integers(),
    reading=texts,
    context_vector=vectors,
)


@given(entries)
def test_what_is_written_is_read_back(entry: Entry) -> None:
    line = line_of(entry, KEYRING)
    assert "\n" not in line
    assert entry_of(line, KEYRING) == entry


def test_every_field_of_an_entry_is_written() -> None:
    assert set(json.loads(line_of(ENTRY, KEYRING))["entry"]) == {field.name for field in fields(Entry)}


def test_without_vectors() -> None:
    assert entry_of(line_of(ENTRY, KEYRING, vectors=False), KEYRING) == replace(ENTRY, vector=None, context_vector=None)


def test_another_tool_may_reorder_a_line() -> None:
    outer = json.loads(line_of(ENTRY, KEYRING))
    outer["entry"] = dict(reversed(outer["entry"].items()))
    assert entry_of(json.dumps(outer, indent=1, ensure_ascii=False), KEYRING) == ENTRY


@pytest.mark.parametrize("name", [field.name for field in fields(Entry)])
def test_a_changed_field_is_noticed(name: str) -> None:
    outer = json.loads(line_of(ENTRY, KEYRING))
    outer["entry"][name] = "AAAA" if name.endswith("vector") else "changed"
    with pytest.raises(PayloadError, match="digest is wrong"):
        entry_of(json.dumps(outer), KEYRING)


def test_another_secret_is_noticed() -> None:
    with pytest.raises(PayloadError, match="digest is wrong"):
        entry_of(line_of(ENTRY, KEYRING), OTHER)


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"entry": 1, "mac": "x"}', "[" * 100_000, '{"entry": {}}'])
def test_what_is_no_line_is_said(line: str) -> None:
    with pytest.raises(PayloadError, match="cut off, or no entry"):
        entry_of(line, KEYRING)


def signed(change: dict[str, Any]) -> str:
    outer = json.loads(line_of(ENTRY, KEYRING))
    content = {name: value for name, value in {**outer["entry"], **change}.items() if value != "gone"}
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return json.dumps({"entry": content, "mac": KEYRING.digest("export/1 line", text)})


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gone"},
        {"vector": "!"},
        {"vector": ""},
        {"vector": "AAA="},
        {"vector": "AADAfw=="},
        {"cost": "x"},
        {"answer": 1},
    ],
)
def test_a_line_that_another_version_wrote_is_refused(change: dict[str, Any]) -> None:
    assert entry_of(signed({}), KEYRING) == ENTRY
    with pytest.raises(PayloadError, match="lacks a field"):
        entry_of(signed(change), KEYRING)


def test_a_header_is_for_its_secret() -> None:
    check_header(HEADER, KEYRING)
    with pytest.raises(ForebayError, match=r"written with another secret.*set 'secret'"):
        check_header(HEADER, OTHER)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "no file that"),
        ("{}", "no file that"),
        (line_of(ENTRY, KEYRING), "no file that"),
        (HEADER.replace('"forebay_export":1', '"forebay_export":2'), "has format 2, this version reads 1"),
    ],
)
def test_another_file_is_refused(line: str, said: str) -> None:
    with pytest.raises(ForebayError, match=said):
        check_header(line, KEYRING)
