"""The store in Milvus: a server for many processes, or a Milvus Lite file for one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import AdapterError, PayloadError, StoreError
from ...middleware.events import Health
from ...middleware.forgotten import matches
from ...middleware.records import LEANING, Selector
from ..vectors.points import group_of, group_sought, parts_sought, ranked
from .accesses import Accesses
from .collection import Collection
from .connection import Connection
from .counts import RememberedCounts
from .driver import Profile, make_routes
from .filters import BY_ID, column, of_columns, selection
from .pages import IDS_A_PAGE, pages
from .rows import READ_COLUMNS, from_row, to_row, words_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ...middleware.accesses import Batch
    from ...middleware.keys import Keyring
    from ...middleware.records import Candidate, Entry, Query

DEFAULT_COLLECTION: Final = "forebay_v2"

_SEARCH: Final = "scope == {scope} and context == {context} and embedder == {embedder} and has_vector == {yes}"
_SEARCH_CONTEXT: Final = f"{_SEARCH} and has_context == {{yes}}"

_STAND_IN_DIMENSION: Final = 2
"""Length of the vectors of a collection without an embedder; the least that Milvus takes."""

_ENTRIES_A_PAGE: Final = 100
_IDS_A_LITE_PAGE: Final = 4000
"""Milvus Lite walks through all rows for every page, 2 microseconds each."""

_ENTRIES_A_READ: Final = 25
"""Read by id from Milvus Lite, and decoded, in 2 ms: other tasks wait no longer."""

_MORE: Final = 8
"""So many times the wanted candidates are fetched where Milvus compares otherwise than we do."""


class MilvusStore:
    """Keeps entries as rows of one Milvus collection.

    A put is found at once by this process; other processes on the same server find it, and miss what was
    deleted, within Milvus's session consistency (usually well under a second). Expired entries stay until
    they are deleted: Milvus Lite ignores the collection's time to live, so none is set. What it does in a process that
    asks often is in the hot tier (adapters/hot), which goes in front of it.

    Args:
        place: folder of a Milvus Lite database, or a server's ``http(s)://`` uri.
        keyring: signs and checks what is kept.
        dimension: length of the embedder's vectors, 0 where there is no embedder.
        collection: its name in Milvus.
        token: ``user:password`` or API key of a server.
        timeout_s: the longest any call takes.

    Attributes:
        damaged: entries left out so far because their payload was not ours.
        server_version: what the Milvus said it is, "" before it was reached.
    """

    def __init__(
        self,
        place: Path | str,
        keyring: Keyring,
        *,
        dimension: int,
        collection: str = DEFAULT_COLLECTION,
        token: str = "",
        timeout_s: float = 2.0,
    ) -> None:
        self._keyring = keyring
        self._dimension = dimension or _STAND_IN_DIMENSION
        self._collection = collection
        self._connection = Connection(place, token=token, timeout_s=timeout_s, prepare=self._prepare)
        self._lite = isinstance(place, Path)
        self._profile = Profile.ONE
        self._accesses = Accesses(self._connection, collection, keyring)
        self._remembered = RememberedCounts(time.monotonic)
        self._replace = False
        self.damaged = 0
        self.server_version = ""

    @property
    def place(self) -> str:
        """Say where the entries are."""
        kind = "the Milvus Lite file" if self._lite else "the Milvus server"
        return f"{kind} {self._connection.shown}"

    @property
    def shared(self) -> bool:
        """Return whether other processes may work on the same entries: on a server."""
        return not self._lite

    async def start(self) -> None:
        """Connect, and make, check and load the collection.

        Raises:
            StoreBusyError: another process has the Milvus Lite file open.
            StoreMismatchError: the collection has vectors of another length, or lacks a column.
            StoreError: Milvus cannot be reached. Later calls try again, every few seconds at most.
        """
        await self._connection.open()

    async def stop(self) -> None:
        """Close the connection and let go of the Milvus Lite file."""
        await self._connection.close()

    async def check_ready(self) -> Sequence[Health]:
        """Count the entries, and say where they are or why they cannot be reached."""
        try:
            rows: Any = await self._call("query", filter="", output_fields=["count(*)"])
            entries = int(rows[0]["count(*)"])
        except AdapterError as error:
            fix = "start Milvus, or correct store.uri; until then every lookup is a miss"
            return [Health("store", ok=False, detail=str(error), fix=fix, required=False)]
        where = f"{self.server_version} at {self._connection.shown}, collection {self._collection}"
        detail = f"{where}, {entries} entries, searched by {self._profile}"
        findings = [Health("store", ok=True, detail=detail)]
        if self.damaged:
            detail = (
                f"{self.damaged} times an entry was left out: damaged, of another version, or signed by another key"
            )
            fix = "keep one secret for all processes that share the store, or run `forebay cache clear`"
            findings.append(Health("store entries", ok=False, detail=detail, fix=fix, required=False))
        return findings

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, expired or not, or None.

        Raises:
            StoreError: Milvus failed.
            PayloadError: the entry is damaged.
        """
        rows = await self._rows([entry_id])
        return self._read(rows[0]) if rows else None

    async def get_many(self, entry_ids: Sequence[str]) -> Sequence[Entry]:
        """Return those of these entries that there are, in no order, without the damaged ones.

        Raises:
            StoreError: Milvus failed.
        """
        return self._readable(await self._rows(entry_ids) if entry_ids else [])

    async def search(self, query: Query) -> Sequence[Candidate]:
        """Return the nearest entries of the query's group, best first.

        Milvus names candidates, by all fields that it has; they are compared with the query by their vectors here.

        Raises:
            StoreError: Milvus failed, or a vector has another length than the collection's.
        """
        parts = parts_sought(query)
        if parts is None:
            return []
        wrong = next((len(part) for part in parts if len(part) != self._dimension), None)
        if wrong is not None:
            raise StoreError(f"a vector has {wrong} dimensions, the collection holds {self._dimension}")
        await self._opened()
        entries = self._readable(await self._found(query))
        group = group_sought(query)
        mine = [entry for entry in entries if group_of(entry) == group]
        # the columns said so, but only the signed payload is to be believed
        self.damaged += len(entries) - len(mine)
        return ranked(query, mine)

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id.

        Raises:
            PayloadError: the answer is not JSON.
            StoreError: Milvus failed, or the entry is too large (`rows.pack`).
            StoreMismatchError: a vector has another length than the collection's.
        """
        await self._opened()
        row = to_row(entry, self._keyring, self._dimension, self._profile)
        try:
            await self._call("upsert", data=[row])
        finally:
            self._remembered.forget(row["scope"])

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were, damaged ones included where columns tell of them.

        Raises:
            StoreError: Milvus failed; some may be deleted.
        """
        deleted = 0
        try:
            async for page in self._ids(selector) if of_columns(selector) == selector else self._read_ids(selector):
                for start in range(0, len(page), IDS_A_PAGE):
                    ids = page[start : start + IDS_A_PAGE]
                    await self._call("delete", filter=BY_ID, filter_params={"ids": ids})
                    deleted += len(ids)
        finally:
            self._remembered.forget()
        return deleted

    async def delete_many(self, entry_ids: Sequence[str]) -> None:
        """Delete those of these entries that there are, in one call a thousand.

        Raises:
            StoreError: Milvus failed; some may be deleted.
        """
        try:
            for start in range(0, len(entry_ids), IDS_A_PAGE):
                ids = [column(entry_id) for entry_id in entry_ids[start : start + IDS_A_PAGE]]
                await self._call("delete", filter=BY_ID, filter_params={"ids": ids})
        finally:
            self._remembered.forget()

    @property
    def recording(self) -> bool:
        """Whether batches of accesses can be written: on a server that has their collection."""
        return self.shared and self._accesses.ready

    async def record(self, batch: Batch) -> None:
        """Write a batch of accesses.

        Raises:
            StoreError: Milvus failed.
        """
        await self._accesses.record(batch)

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return batches of accesses, oldest first, and delete them.

        Raises:
            StoreError: Milvus failed.
        """
        return await self._accesses.take(limit)

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds, damaged ones included.

        It is asked for and remembered: see `RememberedCounts`.

        Raises:
            StoreError: Milvus failed.
        """
        wanted = None if scope is None else column(scope)
        known = self._remembered.get(wanted)
        if known is None:
            version = self._remembered.version
            template, values = selection(Selector(scope=scope))
            rows: Any = await self._call("query", filter=template, filter_params=values, output_fields=["count(*)"])
            known = int(rows[0]["count(*)"])
            self._remembered.note(wanted, known, version)
        return known

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matches, in no order, without the damaged ones.

        Raises:
            StoreError: Milvus failed.
        """
        told = of_columns(selector)
        async for entries in self._entries(selector):
            for entry in entries:
                if matches(selector, entry):
                    yield entry
                elif not matches(told, entry):
                    self.damaged += 1

    async def reset(self) -> None:
        """Drop the collection, whatever its vectors and columns are, and make it again, empty.

        Raises:
            StoreError: Milvus failed.
        """
        self._replace = True
        try:
            await self._connection.renew()
        finally:
            # a reset that failed must not happen later, when nobody asks for it
            self._replace = False
            self._remembered.forget()

    async def _ids(self, selector: Selector) -> AsyncIterator[list[str]]:
        size = _IDS_A_LITE_PAGE if self._lite else IDS_A_PAGE
        async for page in pages(self._call, selector, ["id"], size):
            yield [str(row["id"]) for row in page]

    async def _read_ids(self, selector: Selector) -> AsyncIterator[list[str]]:
        """Read what columns tell of, and name what matches."""
        async for entries in self._entries(selector):
            yield [entry.id for entry in entries if matches(selector, entry)]

    async def _entries(self, selector: Selector) -> AsyncIterator[list[Entry]]:
        """Read what columns tell of, without the damaged ones."""
        await self._opened()
        async for entries in self._by_id(selector) if self._lite else self._by_page(selector):
            yield entries

    async def _by_id(self, selector: Selector) -> AsyncIterator[list[Entry]]:
        """Read what matches from Milvus Lite, which finds rows by id without walking through the others."""
        async for ids in self._ids(selector):
            for start in range(0, len(ids), _ENTRIES_A_READ):
                yield self._readable(await self._rows(ids[start : start + _ENTRIES_A_READ]))

    async def _by_page(self, selector: Selector) -> AsyncIterator[list[Entry]]:
        async for page in pages(self._call, selector, list(READ_COLUMNS[self._profile]), _ENTRIES_A_PAGE):
            yield await asyncio.to_thread(self._readable, page)  # 4 ms of checking signatures and reading JSON

    async def _rows(self, entry_ids: Sequence[str]) -> list[Any]:
        await self._opened()
        ids = [column(entry_id) for entry_id in entry_ids]
        fields = list(READ_COLUMNS[self._profile])
        rows: list[Any] = await self._call("query", filter=BY_ID, filter_params={"ids": ids}, output_fields=fields)
        return rows

    async def _found(self, query: Query) -> list[Any]:
        """Return the rows that Milvus finds for a query."""
        scope, comparable, embedder = map(column, group_sought(query))
        values = {"scope": scope, "context": comparable, "embedder": embedder, "yes": True}
        fields = list(READ_COLUMNS[self._profile])
        leaning = query.key.comparable == LEANING
        more = _MORE * query.limit
        if self._profile is Profile.ONE:
            hits: Any = await self._call(
                "search",
                data=[[float(value) for value in query.vector]],
                anns_field="vector",
                filter=_SEARCH,
                filter_params=values,
                limit=more if leaning else query.limit,
                output_fields=fields,
                search_params={"metric_type": "COSINE", "params": {"ef": max(64, more)}},
            )
        else:
            sought = {"vector": query.vector}
            if leaning and query.context_vector is not None:
                sought["context_vector"] = query.context_vector
            routes = make_routes(
                sought, words_of(query.key.text), _SEARCH_CONTEXT if leaning else _SEARCH, values, more
            )
            hits = await self._call(
                "hybrid_search", reqs=routes.requests, ranker=routes.ranker, limit=more, output_fields=fields
            )
        return [hit["entity"] for hit in hits[0]]

    async def _opened(self) -> None:
        """Connect, where that has not been done: what the collection has is known then."""
        if not self.server_version:
            await self._connection.reach()

    async def _prepare(self, client: Any) -> None:
        """Bring a new client's collection into the shape we need."""
        wanted = Collection(self._collection, self._dimension, self._lite, self._connection.shown)
        self.server_version, self._profile, self._connection.templates = await wanted.prepare(
            client, anew=self._replace
        )
        if self.shared:
            await self._accesses.prepare(client)

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self._connection.call(method, self._collection, **arguments)

    def _readable(self, rows: Sequence[Any]) -> list[Entry]:
        """Return the entries of rows, without the damaged ones."""
        entries: list[Entry] = []
        for row in rows:
            try:
                entries.append(self._read(row))
            except PayloadError:
                continue
        return entries

    def _read(self, row: Any) -> Entry:
        try:
            return from_row(row, self._keyring)
        except PayloadError:
            self.damaged += 1
            raise
