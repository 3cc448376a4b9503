"""The store in Milvus: a server for many processes, or a Milvus Lite file for one."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import AdapterError, PayloadError, StoreError
from ...middleware.forgotten import matches
from ...middleware.records import Candidate, Health, Selector
from ..memory.store import unit
from .alone import SoleWriter
from .collection import Collection
from .connection import Connection
from .counts import RememberedCounts
from .filters import BY_ID, column, selection
from .pages import IDS_A_PAGE, pages
from .rows import READ_COLUMNS, from_row, to_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from ...middleware.keys import Keyring
    from ...middleware.records import Entry, Key, Vector

DEFAULT_COLLECTION: Final = "forebay_v1"

_SEARCH: Final = "scope == {scope} and context == {context} and embedder == {embedder} and has_vector == {yes}"
_READING: Final = frozenset({"query", "search"})

_STAND_IN_DIMENSION: Final = 2
"""Length of the vectors of a collection without an embedder; the least that Milvus takes."""

_ENTRIES_A_PAGE: Final = 100


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
        self._alone = SoleWriter(self._call) if isinstance(place, Path) else None
        self._remembered = RememberedCounts(time.monotonic)
        self._replace = False
        self.damaged = 0
        self.server_version = ""

    @property
    def place(self) -> str:
        """Say where the entries are."""
        kind = "the Milvus server" if self._alone is None else "the Milvus Lite file"
        return f"{kind} {self._connection.shown}"

    @property
    def shared(self) -> bool:
        """Return whether other processes may work on the same entries: on a server."""
        return self._alone is None

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
        if self._alone is not None:
            await self._alone.stop()
        await self._connection.close()
        if self._alone is not None:
            self._alone.forget()

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
        found = await self._entries([column(entry_id)], skip=False)
        return found[0] if found else None

    async def search(self, key: Key, vector: Vector, embedder: str, limit: int) -> Sequence[Candidate]:
        """Return the nearest entries of the same scope, context and embedder, best first.

        Args:
            vector: as many floats as the collection's vectors have.

        Raises:
            StoreError: Milvus failed.
        """
        if limit < 1 or unit(vector) is None:
            return []
        place = (column(key.scope), column(key.context), column(embedder))
        known: list[tuple[str, float]] | None = None
        if self._alone is not None:
            if len(vector) != self._dimension:
                raise StoreError(f"a vector has {len(vector)} dimensions, the collection holds {self._dimension}")
            known = self._alone.nearest(place, vector, limit)
        if known is None:
            found = await self._searched(place, vector, limit)
        else:
            similarity = dict(known)
            found = [(entry, similarity[entry.id]) for entry in await self._entries(list(similarity), skip=True)]
        candidates: list[Candidate] = []
        for entry, cosine in found:
            # the columns said so, but only the signed payload is to be believed
            if (entry.scope, entry.context, entry.embedder) == (key.scope, key.context, embedder):
                candidates.append(Candidate(entry, max(-1.0, min(1.0, cosine))))
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
            if self._alone is not None:
                # read from the row: the entry's answer may be an object that its caller goes on using
                self._alone.wrote(row, from_row(row, self._keyring))
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
                    await self._call("delete", filter=BY_ID, filter_params={"ids": ids})
                    deleted += len(ids)
                    if self._alone is not None:
                        self._alone.deleted(ids)
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
        if self._alone is not None:
            return (await self._alone.counted(self._connection.open)).of(wanted)
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

    async def _entries(self, names: list[str], *, skip: bool) -> list[Entry]:
        """Return the entries with these ids, in no order.

        Args:
            skip: leave damaged entries out.

        Raises:
            StoreError: Milvus failed.
            PayloadError: an entry is damaged.
        """
        found: list[Entry] = []
        version = 0
        if self._alone is not None:  # it knows the ids, and what it read is still so
            version = self._alone.hot.version
            hot = {name: self._alone.hot.get(name) for name in names if not self._alone.lacks(name)}
            found = [entry for entry in hot.values() if entry is not None]
            names = [name for name, entry in hot.items() if entry is None]
        if not names:
            return found
        rows: Any = await self._call(
            "query", filter=BY_ID, filter_params={"ids": names}, output_fields=list(READ_COLUMNS)
        )
        for row in rows:
            try:
                entry = self._read(row)
            except PayloadError:
                if skip:
                    continue
                raise
            found.append(entry)
            if self._alone is not None:
                self._alone.hot.read(entry, version)
        return found

    async def _searched(self, place: tuple[str, str, str], vector: Vector, limit: int) -> list[tuple[Entry, float]]:
        """Return the nearest entries as Milvus finds them, without the damaged ones."""
        scope, context, embedder = place
        hits: Any = await self._call(
            "search",
            data=[[float(value) for value in vector]],
            anns_field="vector",
            filter=_SEARCH,
            filter_params={"scope": scope, "context": context, "embedder": embedder, "yes": True},
            limit=limit,
            output_fields=list(READ_COLUMNS),
            search_params={"metric_type": "COSINE", "params": {"ef": max(64, limit)}},
        )
        found: list[tuple[Entry, float]] = []
        for hit in hits[0]:
            try:
                found.append((self._read(hit["entity"]), float(hit["distance"])))
            except PayloadError:
                continue
        return found

    async def _prepare(self, client: Any) -> None:
        """Bring a new client's collection into the shape we need."""
        lite = self._alone is not None
        wanted = Collection(self._collection, self._dimension, lite, self._connection.shown)
        self.server_version = await wanted.prepare(client, anew=self._replace)
        if self._alone is not None:

            async def call(method: str, **arguments: Any) -> Any:
                return await getattr(client, method)(self._collection, **arguments)

            await self._alone.begin(call)

    async def _call(self, method: str, **arguments: Any) -> Any:
        if method in _READING:
            return await self._connection.call(method, self._collection, **arguments)
        ids = [row["id"] for row in arguments["data"]] if method == "upsert" else arguments["filter_params"]["ids"]
        try:
            return await self._connection.call(method, self._collection, **arguments)
        finally:
            if self._alone is not None:
                for name in ids:
                    self._alone.hot.changed(str(name))

    def _read(self, row: Any) -> Entry:
        try:
            return from_row(row, self._keyring)
        except PayloadError:
            self.damaged += 1
            raise

    def _changing(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._alone is None else self._alone.changing()
