"""How likely the cache answers a request that an earlier one resembles: learned from what it did with such.

Which near-duplicates share an answer is the acceptance policy's decision, and it takes words into account that no vector
shows. Asking it costs ten times what an analyzer may take, so its decisions are watched instead: for each band of similarity, how
many were served. What is known before that is a prior, worth a few observations.
"""

from __future__ import annotations

from bisect import bisect_right
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...middleware.records import JsonObject

EDGES: Final = (0.7, 0.76, 0.8, 0.84, 0.88, 0.91, 0.94, 0.96, 0.98)
"""Lower ends of the bands of similarity; below the first nothing is expected of a pair, nor learned."""
PRIORS: Final = (0.0, 0.01, 0.02, 0.1, 0.4, 0.65, 0.8, 0.85, 0.95)
"""Share of such pairs that is served, before anything was seen: about what the acceptance policy "calibrated" takes of MiniLM's in the
mixes of benchmarks/pattern.py (1,460 pairs from .7 upward)."""
SAME_PRIOR: Final = 1.0
WEIGHT: Final = 8.0
"""Observations that a prior counts for."""
MEMORY: Final = 500.0
"""Observations of a band beyond which old ones are forgotten: the cache, its policy or its mode may have changed."""
_SAME: Final = len(EDGES)
_SCHEMA: Final = 1


class Bands:
    """The probability that a repeated or a similar request is served, by how similar it is."""

    def __init__(self) -> None:
        self._priors = (*PRIORS, SAME_PRIOR)
        self._seen = [0.0] * (_SAME + 1)
        self._served = [0.0] * (_SAME + 1)
        self._expected = [0.0] * (_SAME + 1)

    def same(self) -> float:
        """Return the probability that an equal request is served."""
        return self._of(_SAME)

    def similar(self, similarity: float) -> float:
        """Return the probability that a request is served whose nearest earlier one is so near."""
        band = bisect_right(EDGES, similarity) - 1
        return self._of(band) if band >= 0 else 0.0

    def learn(self, similarity: float | None, *, served: bool) -> None:
        """Take in what the cache did with a request; None for one that was equal."""
        band = _SAME if similarity is None else bisect_right(EDGES, similarity) - 1
        if band < 0:
            return
        keep = 1.0 - 1.0 / MEMORY if self._seen[band] >= MEMORY else 1.0
        now = self._of(band)
        for sums, value in ((self._seen, 1.0), (self._served, float(served)), (self._expected, now)):
            sums[band] = sums[band] * keep + value

    def report(self) -> list[JsonObject]:
        """Return, for each band that was seen, what was expected before each and what happened."""
        return [
            {
                "of": "same" if band == _SAME else f"similar from {EDGES[band]}",
                "n": round(seen, 1),
                "expected": round(expected / seen, 4),
                "served": round(served / seen, 4),
            }
            for band, (seen, served, expected) in enumerate(zip(self._seen, self._served, self._expected, strict=True))
            if seen
        ]

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        return {
            "schema": _SCHEMA,
            "edges": list(EDGES),
            "seen": list(self._seen),
            "served": list(self._served),
            "expected": list(self._expected),
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        if state["schema"] != _SCHEMA or state["edges"] != list(EDGES):
            raise ValueError("the state has other bands")
        seen, served, expected = (_sums(state[name]) for name in ("seen", "served", "expected"))
        if any(not (0 <= part <= whole) for part, whole in zip(served + expected, seen + seen, strict=True)):
            raise ValueError("more was served than seen")
        self._seen, self._served, self._expected = seen, served, expected

    def _of(self, band: int) -> float:
        return (self._served[band] + WEIGHT * self._priors[band]) / (self._seen[band] + WEIGHT)


def _sums(values: Any) -> list[float]:
    made = [float(value) for value in values]
    if len(made) != _SAME + 1 or not all(map(isfinite, made)):
        raise ValueError("the state holds no list of that many finite numbers")
    return made
