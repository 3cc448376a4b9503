"""What a request says of the cache."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.inbound import TAG_CHARS, TAGS, controls_in, seconds
from forebay.middleware.records import Controls


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Controls()),
        ({"cache-control": "No-Cache, no-store"}, Controls(no_cache=True, no_store=True)),
        ({"cache-control": 'max-age=60, max-stale = "30"'}, Controls(max_age_s=60.0, max_stale_s=30.0)),
        ({"cache-control": "max-stale"}, Controls()),  # as much as there is
        ({"cache-control": "max-age=-1, max-stale=soon, max-age"}, Controls()),
        ({"cache-control": "max-age=1e999"}, Controls()),
        ({"x-forebay-ttl": "90.5"}, Controls(ttl_s=90.5)),
        ({"x-forebay-ttl": "1_0"}, Controls()),
        ({"x-forebay-tags": "a, b ,a,,c d,prod/v2"}, Controls(tags=("a", "b", "prod/v2"))),
        ({"x-forebay-wrong": " fb-0123 "}, Controls(wrong="fb-0123")),
        ({"x-forebay-wrong": "a b"}, Controls()),
        ({"x-forebay-wrong": "x" * 129}, Controls()),
    ],
)
def test_headers(headers: dict[str, str], expected: Controls) -> None:
    assert controls_in(headers) == expected


def test_of_two_numbers_the_smaller_counts() -> None:
    headers = {"cache-control": "max-age=60, max-stale=5", "x-forebay-ttl": "10"}
    fields = {"s-maxage": 30, "max-stale": 50, "ttl": 100, "tags": ["b", "a", 3, "no blanks"]}
    found = controls_in({**headers, "x-forebay-tags": "a"}, fields)
    assert found == Controls(ttl_s=10.0, max_age_s=30.0, max_stale_s=5.0, tags=("a", "b"))


def test_only_so_many_tags_and_so_long_ones() -> None:
    named = ",".join(f"t{number}" for number in range(40))
    assert controls_in({"x-forebay-tags": named}).tags == tuple(f"t{number}" for number in range(TAGS))
    assert controls_in({"x-forebay-tags": f"{'x' * TAG_CHARS},{'y' * (TAG_CHARS + 1)}"}).tags == ("x" * TAG_CHARS,)


NAMES = st.sampled_from(["cache-control", "x-forebay-tags", "x-forebay-ttl", "x-forebay-wrong", "x-forebay-bypass"])
FIELDS = st.sampled_from(["ttl", "s-maxage", "max-age", "max-stale", "tags", "no-cache", "no-store"])
JSON = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=9))


@given(st.dictionaries(NAMES, st.text(max_size=80)), st.dictionaries(FIELDS, JSON))
def test_whatever_is_sent_makes_sound_controls(headers: dict[str, str], fields: dict[str, Any]) -> None:
    found = controls_in(headers, fields)
    assert all(value is None or 0 <= value < math.inf for value in (found.ttl_s, found.max_age_s, found.max_stale_s))
    assert len(found.tags) <= TAGS
    assert len(set(found.tags)) == len(found.tags)


@pytest.mark.parametrize("value", [None, True, "", "x", -1, math.nan, math.inf, [], "٣"])
def test_what_is_no_duration(value: object) -> None:
    assert seconds(value) is None
