"""The contract, with the hot tier in front of every store, filled and not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.protocols import Component, Placed
from tests.contract.entries import DIMENSION
from tests.contract.store import StoreContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.middleware.keys import Keyring
    from tests.adapters.milvus.relay import Relay


class HotContract(StoreContract):
    async def test_is_a_component_that_says_where_it_is(self, store: HotTier) -> None:
        assert isinstance(store, Component)
        assert isinstance(store, Placed)


class TestOverMemory(HotContract):
    @pytest.fixture(params=["float", "int8", "no entries", "not filled"])
    async def store(self, request: pytest.FixtureRequest) -> AsyncIterator[HotTier]:
        max_bytes = 0 if request.param == "no entries" else 1 << 20
        store = HotTier(MemoryStore(), max_bytes=max_bytes, int8=request.param == "int8")
        await store.start()
        if request.param != "not filled":
            await store.settled()
        yield store
        await store.stop()


class TestOverMilvusLite(HotContract):
    @pytest.fixture(params=["filled", "not filled"])
    async def store(self, database: Path, keyring: Keyring, request: pytest.FixtureRequest) -> AsyncIterator[HotTier]:
        store = HotTier(MilvusStore(database, keyring, dimension=DIMENSION))
        await store.start()
        if request.param == "filled":
            await store.settled()
        yield store
        await store.stop()


class TestOverMilvusServer(HotContract):
    @pytest.fixture
    async def store(self, relay: Relay, keyring: Keyring) -> AsyncIterator[HotTier]:
        store = HotTier(MilvusStore(relay.uri, keyring, dimension=DIMENSION))
        await store.start()
        yield store
        await store.stop()
