"""What every request asks of Milvus Lite, asked of its engine without gRPC.

Client, socket and server within one process cost several milliseconds of CPU a call, the engine less than one.
Everything else, and everything that other programs ask, goes through the server in lite.py.
"""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .filters import BY_ID, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from .filters import Value

_UNSORTED_ROWS: Final = 64
"""Rows in the write buffer before it is flushed: a search walks through them in Python, 45 microseconds each."""

_COLLECTION_NOT_FOUND: Final = 100  # what a Milvus server answers

_missing: Any = import_module("milvus_lite.exceptions").CollectionNotFoundError
_MilvusError: Any = import_module("pymilvus").MilvusException


class LiteEngine:
    """The engine of one Milvus Lite database, with the signatures and results of pymilvus's client.

    Args:
        database: it is used by one thread at a time.
        executor: that thread; the server's calls are run by it, too.
    """

    def __init__(self, database: Any, executor: Executor) -> None:
        self._database = database
        self._executor = executor
        self._unsorted = 0
        self._methods: dict[str, Callable[..., Any]] = {
            "query": self._get,
            "search": self._search,
            "upsert": self._upsert,
        }

    def takes(self, method: str, arguments: Mapping[str, Any]) -> bool:
        """Return whether a call can be made here: searching, writing, and reading by id."""
        return method in self._methods and (method != "query" or arguments.get("filter") == BY_ID)

    async def call(self, method: str, collection: str, **arguments: Any) -> Any:
        """Run a call in the engine's thread; it goes on where its caller is cancelled.

        Raises:
            Exception: whatever the engine raises; a collection that is gone is the error a server answers.
        """
        run = partial(self._methods[method], collection, **arguments)
        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    def close(self) -> None:
        """Wait for the call that is being run; those that wait fail."""
        self._executor.shutdown(cancel_futures=True)

    def wrote(self, collection: str, rows: int) -> None:
        """Note rows that were written, and flush where they have become many. In the engine's thread."""
        self._unsorted += rows
        if self._unsorted >= _UNSORTED_ROWS:
            self._unsorted = 0
            self._collection(collection).flush()

    def _get(
        self,
        collection: str,
        *,
        filter: str,  # noqa: A002  (pymilvus's name)
        filter_params: Mapping[str, Any],
        output_fields: list[str],
    ) -> Any:
        del filter
        return self._collection(collection).get(list(filter_params["ids"]), output_fields=output_fields)

    def _search(
        self,
        collection: str,
        *,
        data: list[list[float]],
        anns_field: str,
        filter: str,  # noqa: A002  (pymilvus's name)
        filter_params: Mapping[str, Value],
        limit: int,
        output_fields: list[str],
        search_params: Mapping[str, Any],
    ) -> list[list[dict[str, Any]]]:
        found: Sequence[Sequence[Any]] = self._collection(collection).search(
            data,
            top_k=limit,
            metric_type=search_params["metric_type"],
            expr=fill(filter, filter_params),
            output_fields=output_fields,
            anns_field=anns_field,
            search_params=search_params["params"],
        )
        return [[{**hit, "entity": {**hit["entity"], "id": hit["id"]}} for hit in hits] for hits in found]

    def _upsert(self, collection: str, *, data: list[dict[str, Any]]) -> dict[str, int]:
        written = len(self._collection(collection).upsert(data))
        self.wrote(collection, written)
        return {"upsert_count": written}

    def _collection(self, name: str) -> Any:
        try:
            return self._database.get_collection(name)
        except _missing:
            raise _MilvusError(code=_COLLECTION_NOT_FOUND, message="collection not found") from None
