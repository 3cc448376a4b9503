"""Mixed operations a CPU second of each eviction policy, beside cachetools and theine where they are installed, in the same run.

An operation asks for a key: one that is kept is touched, another is added, and what that drops is gone. Keys are texts as long as the
ids of entries, drawn by Zipf's law; in a peer an operation is `get`, and a set where there is nothing.

    make bench NAME=eviction_speed ARGS='--json eviction_speed.json'
"""

from __future__ import annotations

import argparse
import random
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.policies.eviction.adaptive import Adaptive
from forebay.policies.eviction.gdsf import GDSF
from forebay.policies.eviction.lru import LRU
from forebay.policies.eviction.s3fifo import S3FIFO
from forebay.policies.eviction.wtinylfu import WTinyLFU

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.protocols import Eviction

KEYS: Final = 40_000
OPERATIONS: Final = 300_000
ROOM: Final = 1 << 40
OURS: Final[dict[str, Callable[..., Eviction]]] = {
    "adaptive": Adaptive,
    "gdsf": GDSF,
    "s3fifo": S3FIFO,
    "wtinylfu": WTinyLFU,
    "lru": LRU,
}
PEERS: Final = ("LRUCache", "LFUCache")


def drawn(seed: int) -> list[str]:
    """Return the keys of all operations."""
    source = random.Random(seed)
    names = [f"{source.getrandbits(256):064x}" for _ in range(KEYS)]
    return source.choices(names, [1 / (rank + 1) for rank in range(KEYS)], k=OPERATIONS)


def ours(policy: Eviction, keys: Sequence[str]) -> float:
    """Return the CPU seconds that our policy takes, and its set of what there is."""
    there: set[str] = set()
    touched, added, drop, take = policy.touched, policy.added, there.difference_update, there.add
    began = time.process_time()
    for key in keys:
        if key in there:
            touched(key, 0.0)
        else:
            take(key)
            drop(added(key, 1, 1.0, 0.0))
    return time.process_time() - began


def peers(cache: Any, keys: Sequence[str]) -> float:
    """Return the CPU seconds that a mapping takes."""
    get = cache.get
    began = time.process_time()
    for key in keys:
        if get(key) is None:
            cache[key] = 1
    return time.process_time() - began


def of_theine(cache: Any, keys: Sequence[str]) -> float:
    """Return the CPU seconds that theine takes, its own thread's included."""
    get, put = cache.get, cache.set
    began = time.process_time()
    for key in keys:
        if not get(key)[1]:
            put(key, 1)
    taken = time.process_time() - began
    cache.close()
    return taken


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--capacity", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cachetools, theine = _installed("cachetools"), _installed("theine")
    seconds: dict[str, list[float]] = {}
    for seed in range(args.rounds):
        keys = drawn(seed)
        for name, make in OURS.items():
            seconds.setdefault(name, []).append(ours(make(max_entries=args.capacity, max_bytes=ROOM), keys))
        for name in PEERS if cachetools is not None else ():
            seconds.setdefault(f"cachetools {name}", []).append(peers(getattr(cachetools, name)(args.capacity), keys))
        for nolock in (False, True) if theine is not None else ():
            name = "theine" + " nolock" * nolock
            seconds.setdefault(name, []).append(of_theine(theine.Cache(args.capacity, nolock=nolock), keys))
    rows = [
        {"policy": name, "kops_per_cpu_s": OPERATIONS / median(taken) / 1e3, "rounds": len(taken)}
        for name, taken in seconds.items()
    ]
    table = Table(title=f"Mixed operations, Zipf, {args.capacity:,} of {KEYS:,} keys kept")
    table.add_column("policy")
    table.add_column("1,000 operations a CPU second", justify="right")
    for row in rows:
        table.add_row(str(row["policy"]), f"{row['kops_per_cpu_s']:,.0f}")
    Console().print(table)
    if args.json:
        write_json(args.json, as_json("benchmarks/eviction_speed.py", rows))


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
