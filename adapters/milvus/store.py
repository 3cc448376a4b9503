"""The store in Milvus: a server for many processes, or a Milvus Lite file for one."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import AdapterError, PayloadError, StoreError
from ...middleware.records import Candidate, Health, Selector
from ..memory.store import matches, unit
from .connection import Connection
from .counts import RememberedCounts
from .driver import error_label, make_index, make_schema
from .filters import column, selection
from .pages import IDS_A_PAGE, exact_counts, pages
from .rows import READ_COLUMNS, check_collection, from_row, to_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from ...middleware.keys import Keyring
    from ...middleware.records import Entry, Key, Vector
    from .counts import ExactCounts

DEFAULT_COLLECTION: Final = "forebay_v1"

_STAND_IN_DIMENSION: Final = 2
"""Length of the vectors of a collection without an embedder; the least that Milvus takes."""

_ENTRIES_A_PAGE: Final = 100
_BY_ID: Final = "id in {ids}"
"""Of all filters on the primary key, the one that Milvus Lite looks up by key."""

_SEARCH: Final = "scope == {scope} and context == {context} and embedder == {embedder} and has_vector == {yes}"


class MilvusStore:
    """Keeps entries as rows of one Milvus collection.

    A put is found at once by this process; other processes on the same server find it, and miss what was
    deleted, within Milvus's session consistency (usually well under a second). Expired entries stay until
    they are deleted: Milvus Lite ignores the collection's time to live, so none is set.

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
        self._only_writer = isinstance(place, Path)
        self._exact: ExactCounts | None = None
        self._remembered = RememberedCounts(time.monotonic)
        self._writing = asyncio.Lock()
        self._replace = False
        self.damaged = 0
        self.server_version = ""

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
        findings = [Health("store", ok=True, detail=f"{where}, {entries} entries")]
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
        rows: Any = await self._call(
            "query",
            filter=_BY_ID,
            filter_params={"ids": [column(entry_id)]},
            output_fields=list(READ_COLUMNS),
        )
        return self._read(rows[0]) if rows else None

    async def search(self, key: Key, vector: Vector, embedder: str, limit: int) -> Sequence[Candidate]:
        """Return the nearest entries of the same scope, context and embedder, best first.

        Args:
            vector: as many floats as the collection's vectors have.

        Raises:
            StoreError: Milvus failed.
        """
        if limit < 1 or unit(vector) is None:
            return []
        found: Any = await self._call(
            "search",
            data=[[float(value) for value in vector]],
            anns_field="vector",
            filter=_SEARCH,
            filter_params={
                "scope": column(key.scope),
                "context": column(key.context),
                "embedder": column(embedder),
                "yes": True,
            },
            limit=limit,
            output_fields=list(READ_COLUMNS),
            search_params={"metric_type": "COSINE", "params": {"ef": max(64, limit)}},
        )
        candidates: list[Candidate] = []
        for hit in found[0]:
            try:
                entry = self._read(hit["entity"])
            except PayloadError:
                continue
            # the columns said so, but only the signed payload is to be believed
            if (entry.scope, entry.context, entry.embedder) == (key.scope, key.context, embedder):
                candidates.append(Candidate(entry, max(-1.0, min(1.0, float(hit["distance"])))))
            else:
                self.damaged += 1
        candidates.sort(key=lambda candidate: -candidate.similarity)
        return candidates

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id.

        Raises:
            PayloadError: the answer is not JSON.
            StoreError: Milvus failed, or the entry is too large (`rows.pack`).
            StoreMismatchError: its vector has another length than the collection's.
        """
        row = to_row(entry, self._keyring, self._dimension)
        async with self._changing():
            await self._call("upsert", data=[row])
            if self._exact is not None:
                self._exact.added(row["id"], row["scope"])
            self._remembered.forget(row["scope"])

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were, damaged ones included.

        Raises:
            StoreError: Milvus failed; some may be deleted.
        """
        deleted = 0
        async with self._changing():
            try:
                async for page in pages(self._call, selector, ["id"], IDS_A_PAGE):
                    ids = [str(row["id"]) for row in page]
                    await self._call("delete", filter=_BY_ID, filter_params={"ids": ids})
                    deleted += len(ids)
                    if self._exact is not None:
                        for name in ids:
                            self._exact.removed(name)
            finally:
                self._remembered.forget()
        return deleted

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds, damaged ones included.

        On Milvus Lite, whose only writer is this process, the number is kept in memory. On a server it is
        asked for and remembered: see `RememberedCounts`.

        Raises:
            StoreError: Milvus failed.
        """
        wanted = None if scope is None else column(scope)
        if self._only_writer:
            if self._exact is None:
                async with self._writing:
                    await self._connection.open()
                    if self._exact is None:
                        self._exact = await exact_counts(self._call)
            return self._exact.of(wanted)
        known = self._remembered.get(wanted)
        if known is None:
            template, values = selection(Selector(scope=scope))
            rows: Any = await self._call("query", filter=template, filter_params=values, output_fields=["count(*)"])
            known = int(rows[0]["count(*)"])
            self._remembered.note(wanted, known)
        return known

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matches, in no order, without the damaged ones.

        Raises:
            StoreError: Milvus failed.
        """
        async for page in pages(self._call, selector, list(READ_COLUMNS), _ENTRIES_A_PAGE):
            for row in page:
                try:
                    entry = self._read(row)
                except PayloadError:
                    continue
                if matches(selector, entry):
                    yield entry
                else:
                    self.damaged += 1

    async def reset(self) -> None:
        """Drop the collection, whatever its vectors and columns are, and make it again, empty.

        Raises:
            StoreError: Milvus failed.
        """
        async with self._changing():
            self._replace = True
            try:
                await self._connection.renew()
            finally:
                # a reset that failed must not happen later, when nobody asks for it
                self._replace = False
            self._remembered.forget()

    async def _prepare(self, client: Any) -> None:
        """Bring a new client's collection into the shape we need."""
        name = self._collection
        self.server_version = f"Milvus {await client.get_server_version()}"
        exists = await client.has_collection(name)
        if exists and self._replace:
            await client.drop_collection(name)
            exists = False
        if not exists:
            try:
                await client.create_collection(
                    name,
                    schema=make_schema(self._dimension),
                    index_params=make_index(),
                    consistency_level="Session",
                )
            except Exception:
                # another process may have made it at the same moment
                if not await client.has_collection(name):
                    raise
        where = f"collection {name!r} at {self._connection.shown}"
        check_collection(await client.describe_collection(name), self._dimension, where=where)
        await client.load_collection(name)
        try:
            await client.query(name, filter=_BY_ID, filter_params={"ids": ["-"]}, output_fields=["id"])
        except Exception as error:
            raise StoreError(
                f"{self.server_version} at {self._connection.shown} does not answer a filter template "
                f"({error_label(error)}); forebay needs Milvus 2.5 or newer"
            ) from None
        if self._only_writer:

            async def call(method: str, **arguments: Any) -> Any:
                return await getattr(client, method)(name, **arguments)

            self._exact = await exact_counts(call)

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self._connection.call(method, self._collection, **arguments)

    def _read(self, row: Any) -> Entry:
        try:
            return from_row(row, self._keyring)
        except PayloadError:
            self.damaged += 1
            raise

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[None]:
        """Let one change in at a time where the counts are kept here, and count again after a failed one."""
        if not self._only_writer:
            yield
            return
        async with self._writing:
            try:
                yield
            except BaseException:
                # it may have happened all the same, or may yet
                self._exact = None
                raise
