"""The text that stores keep for an entry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.errors import PayloadError
from forebay.middleware.keys import Keyring
from forebay.middleware.payload import SCHEMA, decode_entry, encode_entry
from forebay.middleware.records import Answer, Entry

KEYRING = Keyring({"k1": b"secret"}, "k1")
TEXT = st.text(st.characters(exclude_categories=()))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.builds(
    Entry,
    id=TEXT,
    scope=TEXT,
    context=TEXT,
    question=TEXT,
    answer=st.builds(Answer, st.dictionaries(TEXT, JSON, max_size=3), st.integers(), st.integers()),
    model=TEXT,
    tenant=TEXT,
    created_s=FINITE,
    expires_s=FINITE,
    embedder=TEXT,
    cost=FINITE,
    tags=st.lists(TEXT, max_size=2).map(tuple),
    epoch=st.integers(),
)
ENTRY = Entry(
    id="e1",
    scope="s",
    context="",
    question='Why "so"?',
    answer=Answer({"choices": [{"message": {"content": "Bécause\n\U0001f600"}, "finish_reason": "stop"}]}, 7, 3),
    model="m",
    tenant="t",
    created_s=1.5,
    expires_s=2.5,
    embedder="words@1",
    cost=10.0,
    tags=("a",),
    epoch=2,
)
PAYLOAD = encode_entry(ENTRY, KEYRING)


def read(payload: str, entry_id: str = "e1") -> Entry:
    return replace(decode_entry(entry_id, payload, KEYRING), size_bytes=0)


@given(ENTRIES)
def test_what_is_read_is_what_was_written(entry: Entry) -> None:
    payload = encode_entry(entry, KEYRING)
    assert decode_entry(entry.id, payload, KEYRING) == replace(entry, size_bytes=len(payload))
    assert payload.isascii()


def test_the_vector_is_kept_elsewhere_and_handed_back() -> None:
    vector = (1.0, 0.0)
    payload = encode_entry(replace(ENTRY, vector=vector), KEYRING)
    assert payload == PAYLOAD
    assert decode_entry("e1", payload, KEYRING, vector=vector).vector == vector


@given(
    st.integers(0, len(PAYLOAD) - 1),
    st.sampled_from(["replace", "insert", "delete", "double"]),
    st.sampled_from(sorted(set(PAYLOAD))) | st.characters(exclude_categories=()),
)
def test_no_change_of_one_character_makes_another_entry(at: int, how: str, character: str) -> None:
    changed = {
        "replace": PAYLOAD[:at] + character + PAYLOAD[at + 1 :],
        "insert": PAYLOAD[:at] + character + PAYLOAD[at:],
        "delete": PAYLOAD[:at] + PAYLOAD[at + 1 :],
        "double": PAYLOAD[: at + 1] + PAYLOAD[at:],
    }[how]
    try:
        found = read(changed)
    except PayloadError:
        return
    assert found == ENTRY  # white space outside, or no change at all


def test_each_single_character_replaced_by_another_of_its_kind_is_refused() -> None:
    survived: list[tuple[int, str]] = []
    for at, old in enumerate(PAYLOAD):
        new = "0" if old != "0" else "1"
        try:
            read(PAYLOAD[:at] + new + PAYLOAD[at + 1 :])
            survived.append((at, old))
        except PayloadError:
            pass
    assert [old for _, old in survived if old != " "] == []


@given(TEXT)
def test_a_payload_belongs_to_its_id(entry_id: str) -> None:
    if entry_id != "e1":
        with pytest.raises(PayloadError, match="wrong signature"):
            read(PAYLOAD, entry_id)


@given(TEXT | JSON.map(json.dumps))
def test_no_text_at_all_makes_anything_but_a_payload_error(text: str) -> None:
    with pytest.raises(PayloadError):
        read(text)


@pytest.mark.parametrize("version", [0, 1, 3, "2", None, [2]])
def test_another_schema_is_refused(version: Any) -> None:
    outer = {**json.loads(PAYLOAD), "v": version}
    with pytest.raises(PayloadError, match=f"this version reads {SCHEMA}"):
        read(json.dumps(outer))


@pytest.mark.parametrize(("name", "value"), [("kid", "k9"), ("kid", 1), ("kid", None), ("mac", "é" * 64), ("mac", 1)])
def test_a_key_or_signature_we_do_not_know_is_refused(name: str, value: Any) -> None:
    with pytest.raises(PayloadError):
        read(json.dumps({**json.loads(PAYLOAD), name: value}))


def test_a_forged_entry_is_refused_although_it_is_well_formed() -> None:
    with pytest.raises(PayloadError, match="wrong signature"):
        read(encode_entry(ENTRY, Keyring({"k1": b"another secret"}, "k1")))


def test_a_payload_of_a_rotated_key_is_still_read() -> None:
    ring = Keyring({"k1": b"secret", "k2": b"new"}, "k2")
    assert replace(decode_entry("e1", PAYLOAD, ring), size_bytes=0) == ENTRY


@pytest.mark.parametrize("data", ["{}", "[]", "1", "not json", '{"answer": {}}', '{"answer": {"body": 1}}'])
def test_a_signed_payload_that_lacks_a_field_is_a_payload_error(data: str) -> None:
    outer = {"v": SCHEMA, "kid": "k1", "mac": KEYRING.sign("k1", "e1", data), "data": data}
    with pytest.raises(PayloadError, match="lacks a field"):
        read(json.dumps(outer))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": {1, 2}}, {"a": b"b"}, {"a": nested(100_000)}])
def test_an_answer_that_is_not_json_cannot_be_written(body: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match="cannot be written as JSON"):
        encode_entry(replace(ENTRY, answer=Answer(body)), KEYRING)


def test_errors_hold_no_text_of_question_or_answer() -> None:
    canary = "canary-7f3a"
    entry = replace(ENTRY, question=canary, answer=Answer({"a": canary}))
    payload = encode_entry(entry, KEYRING)
    for changed in (payload[:-3], payload.replace(canary, canary + "!"), payload.replace('"v": 2', '"v": 3')):
        with pytest.raises(PayloadError) as raised:
            read(changed)
        assert canary not in str(raised.value)


def test_lone_surrogates_are_kept() -> None:
    entry = replace(ENTRY, question="\ud800", answer=Answer({"text": "\udfff\ud800"}))
    assert read(encode_entry(entry, KEYRING)) == entry
