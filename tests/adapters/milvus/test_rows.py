from __future__ import annotations

import base64
import random
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.milvus.driver import COLUMNS, PAYLOAD_BYTES, WORDS_BYTES, Profile, make_schema
from forebay.adapters.milvus.rows import from_row, pack, to_row, unpack, words_of
from forebay.middleware.errors import PayloadError, StoreError
from forebay.middleware.records import LEANING
from tests.contract.entries import digest, make_answer, make_entry
from tests.contract.store import assert_same

if TYPE_CHECKING:
    from forebay.middleware.keys import Keyring


@pytest.mark.parametrize("size", [0, 1, PAYLOAD_BYTES, PAYLOAD_BYTES + 1, 1_000_000])
def test_pack_and_unpack(size: int) -> None:
    text = ("{" + "forebay " * (size // 8 + 1))[:size]
    kept = pack(text)
    assert len(kept) <= PAYLOAD_BYTES
    assert (kept == text) == (size <= PAYLOAD_BYTES)
    assert unpack(kept) == text


def test_pack_refuses_what_does_not_fit() -> None:
    with pytest.raises(StoreError, match="too large: an answer of 200000 bytes"):
        pack(random.Random(1).randbytes(100_000).hex())


def test_unpack_refuses_a_bomb() -> None:
    bomb = "z:" + base64.b64encode(zlib.compress(b"0" * 17 * 1024 * 1024)).decode()
    with pytest.raises(PayloadError, match="too large"):
        unpack(bomb)


@given(st.text())
def test_unpack_of_what_was_not_packed(text: str) -> None:
    if not text.startswith("z:"):
        assert unpack(text) == text
    with pytest.raises(PayloadError):
        unpack("z:" + text)


@pytest.mark.parametrize("profile", Profile)
def test_a_row_has_the_columns_of_the_schema(keyring: Keyring, profile: Profile) -> None:
    row = to_row(make_entry(), keyring, 4, profile)
    assert tuple(row) == COLUMNS[profile]
    fields = tuple(field.name for field in make_schema(4, profile).fields)
    assert fields == COLUMNS[profile] + (("sparse",) if profile is Profile.HYBRID else ())


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("vector", [(0.6, 0.8, 0.0, 0.0), None])
def test_from_row(keyring: Keyring, profile: Profile, vector: tuple[float, ...] | None) -> None:
    entry = make_entry(vector=vector)
    assert_same(from_row(to_row(entry, keyring, 4, profile), keyring), entry)
    entry = make_entry(context=digest("a reading"), reading="flights", context_vector=vector)
    row = to_row(entry, keyring, 4, profile)
    assert row["context"] == LEANING
    assert_same(from_row(row, keyring), entry)


def test_stand_in_vectors_are_marked(keyring: Keyring) -> None:
    row = to_row(make_entry(vector=None), keyring, 4, Profile.HYBRID)
    assert (row["has_vector"], row["vector"]) == (False, [1.0, 0.0, 0.0, 0.0])
    assert (row["has_context"], row["context_vector"]) == (False, [1.0, 0.0, 0.0, 0.0])


def test_a_damaged_context_vector(keyring: Keyring) -> None:
    row = to_row(make_entry(), keyring, 4, Profile.ONE)
    for code in ("AAAA", "!", "A"):
        with pytest.raises(PayloadError, match="context"):
            from_row(row | {"context_code": code}, keyring)


def test_words_fit_and_can_be_sent() -> None:
    assert len(words_of("\U0001f642" * 9000).encode()) <= WORDS_BYTES
    assert words_of("lone \ud83d surrogate") == "lone ? surrogate"


@pytest.mark.parametrize("name", ["", 'a"', "x" * 129, "\ud800", "sha256:1"])
def test_an_id_must_be_plain(keyring: Keyring, name: str) -> None:
    with pytest.raises(StoreError, match="id must be"):
        to_row(make_entry(id=name), keyring, 4, Profile.ONE)


def test_an_answer_that_is_not_json(keyring: Keyring) -> None:
    answer = make_answer()
    entry = make_entry(answer=type(answer)({"body": object()}))
    with pytest.raises(PayloadError, match="JSON"):
        to_row(entry, keyring, 4, Profile.ONE)
