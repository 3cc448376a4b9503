from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.fingerprint.prompt import HEAD_BYTES, TAIL_BYTES, Words


@given(st.text(" \nab", max_size=400))
def test_words_are_what_blanks_separate(text: str) -> None:
    raw = text.encode()
    for words, expected in ((Words(raw), raw.split()), (Words(raw, last=True), raw.split()[::-1])):
        assert words.known == expected[: len(words.known)]
        assert len(words.known) >= min(24, len(expected))
        assert words.more() == expected
        assert words.more() == words.known
    assert Words(raw).number() == len(raw.split())


@pytest.mark.parametrize("piece", [b"word ", "猫 在睡觉 ".encode()])
def test_of_a_long_text_the_ends_are_split_and_no_word_is_cut(piece: bytes) -> None:
    text = b"first " + piece * 4_000 + b"last"
    head, tail = Words(text).more(), Words(text, last=True).more()
    assert head[0] == b"first"
    assert tail[0] == b"last"
    pieces = {b"word", *(each.encode() for each in "猫在睡觉")}
    assert {*head[1:], *tail[1:]} <= pieces
    assert sum(map(len, head)) <= HEAD_BYTES
    assert sum(map(len, tail)) <= TAIL_BYTES
    whole = 4_000 * (1 if piece.isascii() else 4)
    assert Words(text).number() == pytest.approx(whole, rel=0.01)


def test_blanks_alone_are_no_words() -> None:
    assert Words(b" " * 9_000).more() == []
    assert Words(b"").known == []
