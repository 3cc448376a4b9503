from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.engines.sse import MAX_EVENT_BYTES, EventParser, EventStreamError

STREAM = (
    "\ufeff: a comment\r\nevent: x\r\ndata: one\r\n\r\n"
    "data:two\ndata: lines\n\n\n"
    "id: 5\rdata: three\r\r"
    "data\n\n"
    "data: größer ✓\n\n"
    ":ping\n\n"
    "data:  spaced\n\n"
    "retry: 10\n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS = ["one", "two\nlines", "three", "", "größer ✓", " spaced", "[DONE]"]


def parsed(*chunks: bytes) -> list[str]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def test_a_stream() -> None:
    assert parsed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_it_may_be_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert parsed(*(STREAM[start:end] for start, end in pairwise(edges))) == EVENTS


def test_byte_by_byte() -> None:
    assert parsed(*(bytes([byte]) for byte in STREAM)) == EVENTS


def test_an_event_comes_as_soon_as_it_is_whole() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n\r") == ["a"]
    assert parser.feed(b"\ndata: b\n\n") == ["b"]
    assert parser.close() == []


def test_the_end_may_cut_the_blank_line_off() -> None:
    assert parsed(b"data: [DONE]") == ["[DONE]"]
    assert parsed(b"data: [DONE]\n") == ["[DONE]"]


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3", b"a\xe2\x82"])
def test_what_is_not_utf_8_is_refused(wrong: bytes) -> None:
    with pytest.raises(EventStreamError, match="UTF-8"):
        parsed(b"data: " + wrong + b"\n\n")


@pytest.mark.parametrize("chunk", [b"x" * 1_000_000, b"data: " + b"x" * 1_000_000 + b"\n"])
def test_what_does_not_end_is_refused(chunk: bytes) -> None:
    with pytest.raises(EventStreamError, match="16 MiB"):
        parsed(*[chunk] * (MAX_EVENT_BYTES // 1_000_000 + 2))


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_are_parsed_or_refused(chunks: list[bytes]) -> None:
    try:
        parsed(*chunks)
    except EventStreamError as error:
        assert "UTF-8" in str(error)  # noqa: PT017 - most inputs are fine, so there is nothing to expect
