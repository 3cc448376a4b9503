"""A process that writes into a Milvus Lite file and makes room in it until it is killed; run by test_killed_store."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware import housekeeping
from forebay.middleware.breaker import Breaker
from forebay.middleware.keeper import Keeper
from forebay.middleware.keys import Keyring
from forebay.middleware.state import StateStore
from forebay.middleware.telemetry import Telemetry
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import DIMENSION, make_answer, make_entry

SECRET = "a secret for the killed store"
CAPACITY = 20


def keeper_of(folder: Path, state: StateStore | None, *, round_s: float | None) -> Keeper:
    store = HotTier(MilvusStore(folder / "cache.db", Keyring.from_secret(SECRET), dimension=DIMENSION, timeout_s=20.0))
    breaker = Breaker("store", Telemetry(enabled=False))
    return Keeper(store, LRU(max_entries=CAPACITY), breaker, state=state, round_s=round_s)


async def write(folder: Path, run: str) -> None:
    housekeeping.SWEEP_S = housekeeping.SNAPSHOT_S = 0.02  # type: ignore[misc]
    state = StateStore(folder / "state.db")
    keeper = keeper_of(folder, state, round_s=0.01)
    await keeper.start()
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        name = f"{run}-{number}" if number % 4 else f"again-{number % 12}"  # some are written again and again
        now = time.time()
        short = number % 3 == 0
        entry = make_entry(id=name, question=name, created_s=now, expires_s=now + (0.05 if short else 3600.0))
        entry = replace(entry, answer=make_answer(f"answer to {name}"), vector=(1.0, number % 7, 0.0, 0.0))
        evicted = await keeper.put(entry)
        gone = ",".join(each.entry_id for each in evicted)
        print(f"put {name} {entry.expires_s} {gone}", flush=True)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2]))
