"""What a collection has is settled by the server that is asked to make it, and by what is there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.milvus import collection
from forebay.adapters.milvus.driver import Profile, make_schema
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.errors import StoreError, StoreMismatchError
from tests.adapters.milvus.conftest import served
from tests.contract.entries import DIMENSION, digest, make_entry, query_of

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.middleware.keys import Keyring
    from tests.adapters.milvus.relay import Relay

FIRST = "forebay_v1"


async def test_a_server_that_refuses_the_fields_gets_one_vector(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    lite: Any = import_module("forebay.adapters.milvus.lite")
    schemas: Any = import_module("pymilvus.grpc_gen.schema_pb2")
    common: Any = import_module("pymilvus.grpc_gen.common_pb2")
    create: Any = lite._Servicer.CreateCollection
    refused: list[str] = []

    def create_without_functions(self: Any, request: Any, context: Any) -> Any:
        if schemas.CollectionSchema.FromString(request.schema).functions:
            refused.append(request.collection_name)
            return common.Status(code=1100, reason="functions are not known here")
        return create(self, request, context)

    monkeypatch.setattr(lite._Servicer, "CreateCollection", create_without_functions)
    async with served(tmp_path / "cache.db") as relay:
        store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
        await store.start()
        assert refused == ["forebay_v2"]
        entry = make_entry(context=digest("c"), reading="flights", context_vector=(0.0, 1.0, 0.0, 0.0))
        await store.put(entry)
        (found,) = await store.search(query_of(entry, context=(0.0, 1.0, 0.0, 0.0)))
        assert [found.similarity, found.context_similarity] == pytest.approx([1.0, 1.0])
        assert asked == ["upsert", "search"]
        await store.stop()


async def test_a_server_that_goes_away_meanwhile_is_not_asked_for_less(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Profile] = []

    def make_and_fail(dimension: int, profile: Profile) -> Any:
        tried.append(profile)
        raise ConnectionError(f"{dimension}")

    monkeypatch.setattr(collection, "make_schema", make_and_fail)
    async with served(tmp_path / "cache.db") as relay:
        store = MilvusStore(relay.uri, keyring, dimension=DIMENSION)
        with pytest.raises(StoreError, match="cannot be prepared"):
            await store.start()
        assert tried == [Profile.HYBRID]
        await store.stop()


async def test_a_collection_of_the_first_version_is_refused(
    older: Relay, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_first(dimension: int, profile: Profile) -> Any:
        del profile
        schema = make_schema(dimension, Profile.ONE)
        schema.fields[:] = [field for field in schema.fields if field.name != "context_code"]
        return schema

    def unchecked(*_: Any, **__: Any) -> Profile:
        return Profile.ONE

    with monkeypatch.context() as patch:
        patch.setattr(collection, "make_schema", make_first)
        patch.setattr(collection, "check_collection", unchecked)
        store = MilvusStore(older.uri, keyring, dimension=DIMENSION, collection=FIRST)
        await store.start()
        await store.stop()
    store = MilvusStore(older.uri, keyring, dimension=DIMENSION, collection=FIRST)
    with pytest.raises(StoreMismatchError, match="not made by this version: it lacks context_code"):
        await store.start()
    await store.stop()
