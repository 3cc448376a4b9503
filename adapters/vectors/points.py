"""Entries and queries as points: what is compared with what, and how near it is.

Entries of one scope, one `comparable` and one embedder are a group; only these are compared. Where questions lean on
earlier turns, a point has two parts, the question's vector and its context's, and counts by the mean of both cosines.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from operator import mul
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ...middleware.errors import StoreError
from ...middleware.records import LEANING, Candidate, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...middleware.records import Entry, Query

Group: TypeAlias = tuple[str, str, str]
"""Scope, `comparable` and embedder."""

Parts: TypeAlias = tuple[Vector, ...]
"""A question's vector, or that and its context's; of any length but zero."""

_np: Any = import_module("numpy") if find_spec("numpy") is not None else None  # it comes with some extras


class Vectors(Protocol):
    """Finds the nearest of a group's points."""

    def __contains__(self, name: object) -> bool:
        """Whether there is a point of this name."""
        ...

    def put(self, name: str, group: Group, parts: Parts) -> None:
        """Keep a point in place of any with the same name.

        Raises:
            StoreError: it holds NaN or infinity.
        """
        ...

    def remove(self, name: str) -> None:
        """Drop a point, if it is there."""
        ...

    async def nearest(self, group: Group, parts: Parts, limit: int) -> list[tuple[str, float]]:
        """Return names and mean cosines of the nearest, best first; the cosines may be a little off."""
        ...

    def clear(self) -> None:
        """Drop all points."""
        ...

    async def stop(self) -> None:
        """End what is done in the background."""
        ...


def group_of(entry: Entry) -> Group:
    """Return the group an entry belongs to."""
    return entry.scope, entry.comparable, entry.embedder


def group_sought(query: Query) -> Group:
    """Return the group a query is about."""
    return query.key.scope, query.key.comparable, query.embedder


def parts_of(entry: Entry) -> Parts | None:
    """Return an entry as a point, None where no search finds it."""
    return _parts(entry.comparable, entry.vector, entry.context_vector)


def parts_sought(query: Query) -> Parts | None:
    """Return a query as a point, None where it finds nothing."""
    return _parts(query.key.comparable, query.vector, query.context_vector) if query.limit > 0 else None


def _parts(comparable: str, vector: Vector | None, context: Vector | None) -> Parts | None:
    wanted = (vector,) if comparable != LEANING else (vector, context)
    parts = tuple(_numbers(part) for part in wanted if part is not None)
    return parts if len(parts) == len(wanted) and all(map(length, parts)) else None


def has_direction(vector: Vector) -> bool:
    """Return whether a vector is not all zeros.

    Raises:
        StoreError: it holds NaN or infinity.
    """
    return length(_numbers(vector)) > 0.0


def length(vector: Vector) -> float:
    """Return a vector's length.

    Raises:
        StoreError: it holds NaN or infinity.
    """
    norm = math.sqrt(_dot(vector, vector))
    if not math.isfinite(norm):
        raise StoreError("a vector holds NaN or infinity; check the embedder")
    return norm


def ranked(query: Query, entries: Iterable[Entry]) -> list[Candidate]:
    """Return entries of the query's group as candidates, best first, by the cosines of their own vectors.

    Entries of another group are left out, as are those that no search finds.
    """
    group, sought = group_sought(query), parts_sought(query)
    if sought is None:
        return []
    lengths = [length(part) for part in sought]
    candidates: list[Candidate] = []
    for entry in entries:
        found = parts_of(entry)
        if found is None or group_of(entry) != group or any(map(_unlike, found, sought)):
            continue
        cosines = [
            max(-1.0, min(1.0, _dot(one, other) / (size * length(other))))
            for one, size, other in zip(sought, lengths, found, strict=True)
        ]
        candidates.append(Candidate(entry, *cosines))
    candidates.sort(key=lambda candidate: -(candidate.similarity + candidate.context_similarity))
    return candidates[: query.limit]


def _numbers(vector: Vector) -> Vector:
    """Return a vector's numbers side by side in memory, where there is numpy: converting them once is what costs."""
    if _np is None:
        return vector
    numbers: Vector = _np.asarray(vector, dtype=_np.float32)
    return numbers


def _unlike(one: Vector, other: Vector) -> bool:
    return len(one) != len(other)


def _dot(one: Vector, other: Vector) -> float:
    return float(sum(map(mul, one, other)) if _np is None else _np.dot(one, other))
