"""What the cache is filled with for the latency benchmark, and stores that cost nothing of their own."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from forebay.middleware.records import Answer, Entry, Key, Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.middleware.records import Candidate, Selector

DIMENSION: Final = 384
EMBEDDER: Final = "gaussian clusters"
_CLUSTERS: Final = 2_000
_SPREAD: Final = 0.5
_AWAY: Final = 0.2
_WORDS: Final = (
    "how where when can should does the my your account card order password invoice refund change send".split()
)


class Points:
    """Unit vectors around 2,000 centres, and questions near some of them.

    Args:
        scopes: entries go round them.
    """

    def __init__(self, number: int, *, scopes: Sequence[str], seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._centres = _unit(self._random.standard_normal((_CLUSTERS, DIMENSION), dtype=np.float32))
        self.vectors = self._near(self._centres, self._random.integers(0, _CLUSTERS, number), _SPREAD)
        self.scopes = scopes

    def scope_of(self, at: int) -> str:
        """Return the scope of an entry."""
        return self.scopes[at % len(self.scopes)]

    def entry(self, at: int) -> Entry:
        """Return an entry."""
        words = " ".join(_WORDS[(at * step + step) % len(_WORDS)] for step in range(3, 12))
        answer = Answer({"choices": [{"message": {"role": "assistant", "content": f"{words}. " * 8}}]}, 20, 60)
        return Entry(
            id=f"{at:064x}",
            scope=self.scope_of(at),
            context="",
            question=f"{words} {at}?",
            answer=answer,
            model="old" if not at % 5 else "new",
            tenant="tenant",
            created_s=0.0,
            expires_s=4e9,
            vector=array("f", self.vectors[at]),
            embedder=EMBEDDER,
            size_bytes=1000,
        )

    def asked(self, number: int, among: Sequence[int] | None = None) -> list[tuple[int, Query]]:
        """Return queries, each with the entry that it is near."""
        targets = self._random.choice(len(self.vectors) if among is None else np.asarray(among), number)
        near = self._near(self.vectors, targets, _AWAY)
        return [
            (int(at), Query(Key(self.scope_of(int(at)), "", "", "how?"), tuple(row.tolist()), EMBEDDER, 5))
            for at, row in zip(targets, near, strict=True)
        ]

    def nearest(self, queries: Sequence[tuple[int, Query]], among: Sequence[int]) -> list[int]:
        """Return for each query which of some entries of its scope is the nearest."""
        alive = np.asarray(among)
        scope_of = alive % len(self.scopes)
        by_scope: dict[int, list[int]] = {}
        for number, (at, _) in enumerate(queries):
            by_scope.setdefault(at % len(self.scopes), []).append(number)
        best = [-1] * len(queries)
        for scope, numbers in by_scope.items():
            same = alive[scope_of == scope]
            rows = self.vectors[same]
            for start in range(0, len(numbers), 64):
                part = numbers[start : start + 64]
                asked = np.asarray([queries[number][1].vector for number in part], dtype=np.float32)
                for number, found in zip(part, np.argmax(asked @ rows.T, axis=1), strict=True):
                    best[number] = int(same[found])
        return best

    def _near(self, centres: Any, which: Any, spread: float) -> Any:
        rows = np.empty((len(which), DIMENSION), dtype=np.float32)
        for start in range(0, len(which), 50_000):
            part = which[start : start + 50_000]
            noise = self._random.standard_normal((len(part), DIMENSION), dtype=np.float32)
            rows[start : start + len(part)] = _unit(centres[part] + noise * np.float32(spread / DIMENSION**0.5))
        return rows


class PointsStore:
    """A store whose entries are made when they are read: what it costs is what the hot tier costs."""

    place = "made when read"
    shared = False

    def __init__(self, points: Points, number: int) -> None:
        self._points = points
        self._number = number

    async def get(self, entry_id: str) -> Entry | None:
        """Return an entry."""
        at = int(entry_id, 16)
        return self._points.entry(at) if at < self._number else None

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        """Return entries."""
        return [self._points.entry(int(entry_id, 16)) for entry_id in entry_ids]

    async def search(self, query: Query) -> Sequence[Candidate]:
        """Find nothing."""
        del query
        return []

    async def put(self, entry: Entry) -> None:
        """Keep nothing."""

    async def delete(self, selector: Selector) -> int:
        """Delete nothing, as if it had been there."""
        return int(selector.id is not None)

    async def count(self, scope: str | None = None) -> int:
        """Return how many there are."""
        del scope
        return self._number

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield all of them."""
        del selector
        for at in range(self._number):
            yield self._points.entry(at)


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
