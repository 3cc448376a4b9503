"""Two processes on one Milvus server: what one forgets the other misses within a second.

The server is that of the package `milvus` 2.3.5, which is not among our requirements: it is 58 MB, and starts in 15 to 40 s. Set
`FOREBAY_MILVUS` to the uri of a running one; else the package is looked for, and without it this is left out.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.local.coordination import LocalCoordination
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.admission.lanes import Lanes
from forebay.middleware.breaker import Breaker
from forebay.middleware.keeper import Keeper
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Selector
from forebay.middleware.telemetry import Telemetry
from forebay.middleware.twins import Twins
from forebay.middleware.workers import Workers, keeps_house
from forebay.policies.eviction.lru import LRU
from tests.contract.entries import DIMENSION, key_of, make_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MOST = 8


class Process:
    """What a worker has: store, keeper and coordination."""

    def __init__(self, uri: str, collection: str, folder: Path) -> None:
        keyring = Keyring.from_secret("two processes")
        store = MilvusStore(uri, keyring, dimension=DIMENSION, collection=collection, timeout_s=10.0)
        self.coordination = LocalCoordination(folder)
        self.keeper = Keeper(
            HotTier(store),
            LRU(max_entries=MOST),
            Breaker("store", Telemetry(enabled=False)),
            keeps_house=lambda: keeps_house(self.coordination),
            read_deadline_s=10.0,
            round_s=0.2,
        )
        lanes: Any = Lanes
        self.workers = Workers(self.coordination, self.keeper, Twins(), lanes)
        self.workers.changed = lambda roster: None  # type: ignore[method-assign]
        self.coordination.hear(self.workers)

    async def start(self) -> None:
        await self.coordination.start()
        await self.keeper.start()

    async def stop(self) -> None:
        await self.keeper.stop()
        await self.coordination.stop()


async def other(uri: str, collection: str, folder: Path) -> None:
    """Do as the lines of stdin say: get, put and count, each answered by a line."""
    process = Process(uri, collection, folder)
    await process.start()
    print("ready", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        what, name = line
        now = time.time()
        entry = make_entry(id=name, created_s=now, expires_s=now + 3600.0)
        if what == "put":
            await process.keeper.put(entry)
            print("kept", flush=True)
        else:
            print("miss" if await process.keeper.get(key_of(entry)) is None else "hit", flush=True)
    await process.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("FOREBAY_MILVUS")
    if given:
        yield given
        return
    if util.find_spec("milvus") is None:
        pytest.skip("no Milvus server: install milvus==2.3.5, or set FOREBAY_MILVUS to the uri of one")
    milvus: Any = import_module("milvus").MilvusServer()
    milvus.set_base_dir(str(tmp_path_factory.mktemp("milvus")))
    milvus.start()
    yield f"http://127.0.0.1:{milvus.listen_port}"
    milvus.stop()


@pytest.mark.slow
async def test_what_one_process_forgets_the_other_misses_within_a_second(server: str, tmp_path: Path) -> None:
    collection = f"forebay_test_{uuid4().hex}"
    mine = Process(server, collection, tmp_path)
    await mine.start()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.safety.test_two_processes", server, collection, str(tmp_path)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    asks, says = child.stdin, child.stdout

    async def asked(what: str, name: str) -> str:
        asks.write(f"{what} {name}\n".encode())
        async with asyncio.timeout(30.0):
            return (await says.readline()).decode().strip()

    async with asyncio.timeout(60.0):
        assert await says.readline() == b"ready\n"
    now = time.time()
    took_s: list[float] = []
    for at in range(5):
        entry = make_entry(id=f"e{at}", created_s=now, expires_s=now + 3600.0)
        await mine.keeper.put(entry)
        async with asyncio.timeout(10.0):
            while await asked("get", entry.id) == "miss":
                pass
        began_s = time.monotonic()
        await mine.workers.forget_everywhere(Selector(id=entry.id))
        while await asked("get", entry.id) == "hit":
            assert time.monotonic() - began_s < 1.0
        took_s.append(time.monotonic() - began_s)
    assert max(took_s) < 1.0
    for at in range(2 * MOST):  # the other writes, and this process, which keeps house, makes room
        assert await asked("put", f"n{at}") == "kept"
    async with asyncio.timeout(60.0):
        while len([entry async for entry in mine.keeper.scan(Selector())]) > MOST:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    asks.close()
    await child.wait()
    await mine.stop()


if __name__ == "__main__":
    asyncio.run(other(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
