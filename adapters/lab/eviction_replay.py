"""Replaying a trace of a cache: through a policy of ours, through other libraries' caches, and as the optimum would have done."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
    ids = [f"{key:x}" for key in range(len(requests.names))]
    held: set[int] = set()
    numbers = {name: key for key, name in enumerate(ids)}
    hits: list[bool] = []
    touched, added = policy.touched, policy.added
    for now, (key, cost) in enumerate(zip(requests.keys, requests.costs, strict=True)):
        hit = key in held
        hits.append(hit)
        if hit:
            touched(ids[key], float(now))
        else:
            held.add(key)
            held.difference_update(numbers[name] for name in added(ids[key], 1, cost, float(now)))
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
        hits: list[bool] = []
        for now, key in enumerate(requests.keys):
            asked.obj_id = key + 1
            asked.clock_time = now
            hits.append(bool(cache.get(asked)))
        return _counted(requests, hits)

    return {name: _named(play, name) for name in LIBCACHESIM}


def _named(play: Callable[[str, Requests, int], Replayed], name: str) -> Callable[[Requests, int], Replayed]:
    return lambda requests, entries: play(name, requests, entries)


def _theine() -> Mapping[str, Callable[[Requests, int], Replayed]]:
    library: Any = import_module("theine")

    def play(requests: Requests, entries: int) -> Replayed:
        cache: Any = library.Cache(entries)
        try:
            hits: list[bool] = []
            for key in requests.keys:
                hit = bool(cache.get(key)[1])
                hits.append(hit)
                if not hit:
                    cache.set(key, True)
        finally:
            cache.close()
        return _counted(requests, hits)

    return {"W-TinyLFU": play}


def _cachetools() -> Mapping[str, Callable[[Requests, int], Replayed]]:
    library: Any = import_module("cachetools")

    def play(name: str, requests: Requests, entries: int) -> Replayed:
        cache: Any = getattr(library, name)(entries)
        hits: list[bool] = []
        for key in requests.keys:
            hit = cache.get(key) is not None
            hits.append(hit)
            if not hit:
                cache[key] = True
        return _counted(requests, hits)

    return {name: _named(play, name + "Cache") for name in ("LRU", "LFU")}


def _counted(requests: Requests, hits: Iterable[bool]) -> Replayed:
    known = list(hits)
    saved = sum(cost for cost, hit in zip(requests.costs, known, strict=True) if hit)
    return Replayed(sum(known) / len(known), saved / (sum(requests.costs) or 1.0))
