"""Evict as that policy would which saves most of this very traffic, found out by shadow caches on a sample of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from zlib import crc32

from .gdsf import GDSF
from .lru import LRU, MEBIBYTE
from .s3fifo import S3FIFO
from .state import amount_of, rows_of, said
from .wtinylfu import WTinyLFU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.records import JsonObject

NAME: Final = "adaptive"
SHADOW_ENTRIES: Final = 128
"""Room of a shadow cache, about: of fewer entries it says little, more of them cost time."""
WINDOW: Final = 4
"""Times a shadow's room: so many sampled requests between two looks at the savings, at least `LEAST_WINDOW`."""
LEAST_WINDOW: Final = 1_000
KEPT: Final = 0.9
"""What savings of before the last look count for at the next."""
MARGIN: Final = 1.03
"""So many times what the live policy saves another must save to take its place."""
LEAST_LOOKS: Final = 2
"""Before a shadow has seen its room filled and turned over it says nothing."""


class Candidate(Protocol):
    """A policy that may take over, and be taken over from."""

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]: ...  # noqa: D102
    def touched(self, entry_id: str, now_s: float) -> None: ...  # noqa: D102
    def removed(self, entry_id: str) -> None: ...  # noqa: D102
    def carried(self) -> Sequence[tuple[str, int, float]]: ...  # noqa: D102
    def snapshot(self) -> JsonObject: ...  # noqa: D102
    def restore(self, state: JsonObject) -> None: ...  # noqa: D102


def _by_cost(*, max_entries: int, max_bytes: int) -> Candidate:
    return WTinyLFU(max_entries=max_entries, max_bytes=max_bytes, by_cost=True)


def _published(*, max_entries: int, max_bytes: int) -> Candidate:
    return GDSF(max_entries=max_entries, max_bytes=max_bytes, remembered=0, first=0.0)


CANDIDATES: Final[Mapping[str, Callable[..., Candidate]]] = {
    "gdsf": GDSF,
    "gdsf as published": _published,
    "wtinylfu": _by_cost,
    "s3fifo": S3FIFO,
    "lru": LRU,
}
"""What is tried, the first to begin with. Both of GDSF and W-TinyLFU save most on some row of benchmarks/eviction.py, S3-FIFO and
LRU on none of them: they are for loops and for what is recent."""


@dataclass(slots=True)
class _Shadow:
    """A candidate that decides about ids alone.

    Attributes:
        there: what it holds.
        saved: cost of the sampled requests that it would have answered, older ones counting less.
    """

    policy: Candidate
    there: set[str]
    saved: float = 0.0


class Adaptive:
    """Keeps what the best of several policies keeps.

    Of the ids a hashed sample is shown to a shadow cache of each candidate, with as large a share of the room (Waldspurger et al.,
    *Cache Modeling and Optimization using Miniature Simulations*, 2017). What each shadow saves, in cost, older savings counting
    less, says which candidate would save most; it takes over where that is 3% more than what the live one's
    shadow saves. Entries are carried over in the order in which they would have gone; what the old policy knew of requests is not.

    A shadow sees what is asked for while it is kept, and computed; of an answer that the live policy keeps longer than a
    shadow would, it hears all the same.

    `touched` and `added` cost what the live policy's do and, for one in `1 / rate` ids, what those of all candidates do.

    Args:
        max_entries: how many entries may be kept, at least 1.
        max_bytes: how large they may be together, at least 1. An entry larger than that is itself dropped at once.

    Raises:
        ValueError: a capacity is below 1.
    """

    def __init__(self, *, max_entries: int = 10_000, max_bytes: int = 256 * MEBIBYTE) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._mask = 0
        while max_entries // (2 * (self._mask + 1)) >= SHADOW_ENTRIES:
            self._mask = 2 * self._mask + 1
        self._room = max(1, max_entries // (self._mask + 1))
        self._window = max(WINDOW * self._room, LEAST_WINDOW)
        self._live_name = next(iter(CANDIDATES))
        self._live = self._made(self._live_name)
        self._touch = self._live.touched
        self._owed: list[str] = []  # dropped while the live policy changed
        self._sampled: dict[str, tuple[int, float]] = {}  # size and cost of those that are kept
        self._requests = self._looks = self._since = self._changes = 0
        self._why = "the first of the candidates"
        self._shadows = self._fresh_shadows()

    @property
    def rate(self) -> float:
        """Share of the ids that the shadows see."""
        return 1.0 / (self._mask + 1)

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:
        """Note a kept entry, new or written again, and return the ids to drop."""
        sampled = not self._mask or crc32(entry_id.encode("utf-8", "surrogatepass")) & self._mask == 0
        if sampled:
            self._see(entry_id, size_bytes, cost)
        dropped = list(self._live.added(entry_id, size_bytes, cost, now_s))
        if self._owed:
            dropped = [*(gone for gone in self._owed if gone != entry_id), *dropped]
            self._owed = []
        if sampled:
            self._sampled[entry_id] = (size_bytes, cost)
        for gone in dropped:
            self._sampled.pop(gone, None)
        return dropped

    def touched(self, entry_id: str, now_s: float) -> None:
        """Note that an entry was served; an unknown one is ignored."""
        self._touch(entry_id, now_s)
        its = self._sampled.get(entry_id)
        if its is not None:
            self._see(entry_id, *its)

    def removed(self, entry_id: str) -> None:
        """Forget an entry; an unknown one is ignored."""
        self._live.removed(entry_id)
        if entry_id in self._owed:
            self._owed.remove(entry_id)
        if self._sampled.pop(entry_id, None) is not None:
            for shadow in self._shadows.values():
                shadow.policy.removed(entry_id)
                shadow.there.discard(entry_id)

    def report(self) -> Sequence[JsonObject]:
        """Return a row a candidate: what it would have saved of the sampled requests' cost, over what the live one would have."""
        live = self._shadows[self._live_name].saved
        return [
            {
                "policy": name,
                "live": name == self._live_name,
                "saved": shadow.saved,
                "over_live": shadow.saved / live if live else None,
                "sample_rate": self.rate,
                "shadow_entries": self._room,
                "looks_since_change": self._since,
                "changes": self._changes,
                "why": self._why if name == self._live_name else "",
            }
            for name, shadow in self._shadows.items()
        ]

    def snapshot(self) -> JsonObject:
        """Return the live policy's state, and what each candidate would have saved."""
        return {
            "policy": NAME,
            "live": self._live_name,
            "state": dict(self._live.snapshot()),
            "entries": [[name, shadow.saved] for name, shadow in self._shadows.items()],
            "sampled": [[entry_id, *its] for entry_id, its in self._sampled.items()],
            "shadows": {name: dict(shadow.policy.snapshot()) for name, shadow in self._shadows.items()},
            "there": {name: sorted(shadow.there) for name, shadow in self._shadows.items()},
            "owed": list(self._owed),
            "counts": [self._requests, self._looks, self._since, self._changes],
            "why": self._why,
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot; what is too much for this capacity is dropped by the next `added`.

        Raises:
            ValueError: it is not a snapshot of this policy; the state stays as it was.
        """
        saved = {str(row[0]): amount_of(row[1], NAME) for row in rows_of(state, NAME, 2)}
        sampled = {
            str(row[0]): (int(amount_of(row[1], NAME)), amount_of(row[2], NAME))
            for row in rows_of(state, NAME, 3, "sampled")
        }
        given: Any = state
        try:
            live_name = given["live"]
            live = self._made(live_name)
            live.restore(given["state"])
            shadows = self._fresh_shadows()
            for name, shadow in shadows.items():
                if name in saved:
                    shadow.saved = saved[name]
                    shadow.policy.restore(given["shadows"][name])
                    shadow.there = {str(each) for each in given["there"][name]}
            requests, looks, since, changes = (int(amount_of(each, NAME)) for each in given["counts"])
            owed, why = [str(each) for each in given["owed"]], str(given["why"])
        except (KeyError, TypeError):
            raise ValueError(said(NAME)) from None
        self._live_name, self._shadows, self._sampled = live_name, shadows, sampled
        self._live, self._touch = live, live.touched
        self._requests, self._looks, self._since, self._changes = requests, looks, since, changes
        self._owed, self._why = owed, why

    def _made(self, name: str) -> Candidate:
        return CANDIDATES[name](max_entries=self._max_entries, max_bytes=self._max_bytes)

    def _fresh_shadows(self) -> dict[str, _Shadow]:
        room_bytes = max(1, math.ceil(self._max_bytes * self.rate))
        return {
            name: _Shadow(make(max_entries=self._room, max_bytes=room_bytes), set())
            for name, make in CANDIDATES.items()
        }

    def _see(self, entry_id: str, size_bytes: int, cost: float) -> None:
        """Let all shadows see a request."""
        for shadow in self._shadows.values():
            there, policy = shadow.there, shadow.policy
            if entry_id in there:
                shadow.saved += cost
                policy.touched(entry_id, 0.0)
            else:
                there.add(entry_id)
                there.difference_update(policy.added(entry_id, size_bytes, cost, 0.0))
        self._requests += 1
        if self._requests >= self._window:
            self._look()

    def _look(self) -> None:
        """Let the best take over, and let what was saved before count less."""
        self._requests = 0
        self._looks += 1
        self._since += 1
        live = self._shadows[self._live_name].saved
        best = max(self._shadows, key=lambda name: (self._shadows[name].saved, name == self._live_name))
        if self._since >= LEAST_LOOKS and self._shadows[best].saved > MARGIN * live:
            self._change(best, live)
        for shadow in self._shadows.values():
            shadow.saved *= KEPT

    def _change(self, name: str, live: float) -> None:
        best = self._shadows[name].saved
        self._why = f"saved {best:.4g} where {self._live_name} saved {live:.4g}, of one in {self._mask + 1} ids"
        taking = self._made(name)
        for entry_id, size_bytes, cost in self._live.carried():
            self._owed += taking.added(entry_id, size_bytes, cost, 0.0)
        self._live_name, self._live, self._touch = name, taking, taking.touched
        self._since = 0
        self._changes += 1
