from __future__ import annotations

import math
from dataclasses import replace

import pytest

from forebay.adapters.vectors import points
from forebay.adapters.vectors.points import has_direction, length, parts_of, parts_sought, ranked
from forebay.middleware.errors import StoreError
from tests.contract.entries import ALONG, digest, make_entry, query_of

READ = make_entry(context=digest("c"), reading="flights", context_vector=(0.0, 2.0, 0.0, 0.0))


def as_tuples(parts: points.Parts | None) -> tuple[tuple[float, ...], ...]:
    assert parts is not None
    return tuple(tuple(map(float, part)) for part in parts)


@pytest.mark.parametrize("numpy", [True, False])
def test_which_entries_are_points(monkeypatch: pytest.MonkeyPatch, *, numpy: bool) -> None:
    if not numpy:
        monkeypatch.setattr(points, "_np", None)
    assert as_tuples(parts_of(make_entry())) == (ALONG,)
    assert parts_of(make_entry(vector=None)) is None
    assert parts_of(make_entry(vector=(0.0, 0.0, 0.0, 0.0))) is None
    assert as_tuples(parts_of(READ)) == (ALONG, (0.0, 2.0, 0.0, 0.0))
    assert parts_of(replace(READ, context_vector=None)) is None
    assert as_tuples(parts_of(replace(READ, reading=""))) == (ALONG,)
    assert parts_sought(query_of(READ)) is None
    assert as_tuples(parts_sought(query_of(READ, context=ALONG))) == (ALONG, ALONG)
    assert parts_sought(query_of(make_entry(), limit=0)) is None


@pytest.mark.parametrize("numpy", [True, False])
def test_ranked(monkeypatch: pytest.MonkeyPatch, *, numpy: bool) -> None:
    if not numpy:
        monkeypatch.setattr(points, "_np", None)
    slanted = replace(READ, id="slanted", vector=(3.0, 4.0, 0.0, 0.0))
    others = [make_entry(), replace(READ, scope="other"), replace(READ, embedder="x"), replace(READ, vector=(1.0, 0.0))]
    found = ranked(query_of(READ, context=(0.0, 1.0, 0.0, 0.0)), [slanted, READ, *others])
    assert [candidate.entry.id for candidate in found] == [READ.id, "slanted"]
    assert [candidate.similarity for candidate in found] == pytest.approx([1.0, 0.6])
    assert [candidate.context_similarity for candidate in found] == pytest.approx([1.0, 1.0])
    assert len(ranked(query_of(READ, limit=1, context=ALONG), [slanted, READ])) == 1
    assert ranked(query_of(READ), [READ]) == []


@pytest.mark.parametrize("numpy", [True, False])
def test_length(monkeypatch: pytest.MonkeyPatch, *, numpy: bool) -> None:
    if not numpy:
        monkeypatch.setattr(points, "_np", None)
    assert length((3.0, 4.0)) == pytest.approx(5.0)
    assert (has_direction((0.0, 0.0)), has_direction((0.0, 0.1))) == (False, True)
    for value in (math.inf, math.nan):
        with pytest.raises(StoreError, match="embedder"):
            has_direction((value, 0.0))
