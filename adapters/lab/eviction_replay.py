"""Replaying a trace of a cache: through a policy of ours, through other libraries' caches, and as the optimum would have done."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.protocols import Eviction
    from .eviction_traces import Requests

FORGETTING: Final = 1 << 40
"""Bytes that are never reached: what counts here is the number of entries."""
_HASHPOWER: Final = 18  # libcachesim's default reserves 2 to the power of 24 places for each cache
_LEAST: Final = 20  # entries; with a few, several of libcachesim's end the process
LIBCACHESIM: Final = ("LRU", "LFU", "ARC", "SLRU", "TwoQ", "Sieve", "S3FIFO", "WTinyLFU", "GDSF")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a cache did with a trace.

    Attributes:
        hit_ratio: share of requests.
        cost_saved: share of the costs of all requests.
    """

    hit_ratio: float
    cost_saved: float


def replay(requests: Requests, policy: Eviction) -> Replayed:
    """Replay a trace through a policy: each miss is kept, at size 1, one second after the other."""
    held: set[str] = set()
    hits: list[bool] = []
    touched, added = policy.touched, policy.added
    ids = [f"{key:x}" for key in range(len(requests.names))]
    for now, (key, cost) in enumerate(zip(requests.keys, requests.costs, strict=True)):
        name = ids[key]
        hit = name in held
        hits.append(hit)
        if hit:
            touched(name, float(now))
        else:
            held.add(name)
            held.difference_update(added(name, 1, cost, float(now)))
    return _counted(requests, hits)


def optimum(requests: Requests, entries: int) -> Replayed:
    """Replay with knowledge of the future: what is asked for again the latest goes (Belady 1966), or is not kept; best in hits."""
    never = len(requests.keys)
    following = [never] * never
    last: dict[int, int] = {}
    for at in range(never - 1, -1, -1):
        following[at] = last.get(requests.keys[at], never)
        last[requests.keys[at]] = at
    held: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits: list[bool] = []
    for key, again in zip(requests.keys, following, strict=True):
        hits.append(key in held)
        if again == never:
            held.pop(key, None)
            continue
        held[key] = again
        heapq.heappush(latest, (-again, key))
        while len(held) > entries:
            when, name = heapq.heappop(latest)
            if held.get(name) == -when:
                del held[name]
    return _counted(requests, hits)


def peers(entries: int = _LEAST) -> Mapping[str, Mapping[str, Callable[[Requests, int], Replayed]]]:
    """Return what replays a trace with so many entries, by library and policy, of the libraries that are installed and can."""
    found: dict[str, Mapping[str, Callable[[Requests, int], Replayed]]] = {}
    libcachesim = {} if entries < _LEAST else {"libcachesim": _libcachesim}
    for library, made in {**libcachesim, "theine": _theine, "cachetools": _cachetools}.items():
        try:
            its = made()
            found[f"{library} {version(library)}"] = its
        except (ImportError, PackageNotFoundError, OSError):
            continue
    return found


def _libcachesim() -> Mapping[str, Callable[[Requests, int], Replayed]]:
    library: Any = import_module("libcachesim")

    def play(name: str, requests: Requests, entries: int) -> Replayed:
        cache: Any = getattr(library, name)(cache_size=entries, hashpower=_HASHPOWER)
        asked: Any = library.Request()
        asked.obj_size = 1

        def ask(key: int) -> bool:
            asked.obj_id = key + 1
            asked.clock_time += 1
            return bool(cache.get(asked))

        return _asked(requests, ask)

    return {name: partial(play, name) for name in LIBCACHESIM}


def _theine() -> Mapping[str, Callable[[Requests, int], Replayed]]:
    library: Any = import_module("theine")

    def play(requests: Requests, entries: int) -> Replayed:
        cache: Any = library.Cache(entries)

        def ask(key: int) -> bool:
            hit = bool(cache.get(key)[1])
            if not hit:
                cache.set(key, True)
            return hit

        try:
            return _asked(requests, ask)
        finally:
            cache.close()

    return {"W-TinyLFU": play}


def _cachetools() -> Mapping[str, Callable[[Requests, int], Replayed]]:
    library: Any = import_module("cachetools")

    def play(name: str, requests: Requests, entries: int) -> Replayed:
        cache: Any = getattr(library, name)(entries)

        def ask(key: int) -> bool:
            hit = cache.get(key) is not None
            if not hit:
                cache[key] = True
            return hit

        return _asked(requests, ask)

    return {name: partial(play, name + "Cache") for name in ("LRU", "LFU")}


def _asked(requests: Requests, ask: Callable[[int], bool]) -> Replayed:
    return _counted(requests, [ask(key) for key in requests.keys])


def _counted(requests: Requests, hits: Sequence[bool]) -> Replayed:
    saved = sum(cost for cost, hit in zip(requests.costs, hits, strict=True) if hit)
    return Replayed(sum(hits) / len(hits), saved / (sum(requests.costs) or 1.0))
