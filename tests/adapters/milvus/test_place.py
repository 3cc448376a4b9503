"""A store says where its entries are, and whether other processes work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.fallback import MilvusOrMemory
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.keys import Keyring
from forebay.middleware.protocols import Placed

if TYPE_CHECKING:
    from pathlib import Path

KEYS = Keyring({"k": b"x" * 32}, "k")


async def test_where_entries_are(tmp_path: Path) -> None:
    server = MilvusStore("http://user:secret@milvus:19530", KEYS, dimension=4)
    assert (server.place, server.shared) == ("the Milvus server http://milvus:19530", True)
    assert (MemoryStore().place, MemoryStore().shared) == ("memory of its own", False)
    file = tmp_path / "cache.db"
    one, other = (MilvusOrMemory(MilvusStore(file, KEYS, dimension=4), MemoryStore()) for _ in range(2))
    assert one.place == ""  # that is settled when it starts
    await one.start()
    await other.start()
    assert (one.place, one.shared) == (f"the Milvus Lite file {file}", False)
    assert other.place.startswith("memory of its own")
    assert all(isinstance(store, Placed) for store in (server, one, MemoryStore()))
    await other.stop()
    await one.stop()
