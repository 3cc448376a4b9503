"""What processes on one Milvus tell the one that keeps house: batches of accesses, a row each, in a collection of their own."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from ...middleware.accesses import Batch
from ...middleware.errors import PayloadError
from ...middleware.narrow import is_object
from ...middleware.records import Selector
from .driver import make_accesses_index, make_accesses_schema
from .filters import BY_ID
from .pages import pages
from .rows import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.keys import Keyring
    from .connection import Connection

log = logging.getLogger(__name__)
SUFFIX: Final = "_accesses"
_PURPOSE: Final = "accesses"


class Accesses:
    """The batches that lie in a collection beside the entries'.

    Args:
        connection: the entries' own.
        beside: the entries' collection.
        keyring: signs the batches; others are not believed.

    Attributes:
        ready: the collection is there.
    """

    def __init__(self, connection: Connection, beside: str, keyring: Keyring) -> None:
        self.collection = beside + SUFFIX
        self.ready = False
        self._connection = connection
        self._keyring = keyring

    async def prepare(self, client: Any) -> None:
        """Make the collection, where it is missing, with a new client; does not raise: entries are kept without it."""
        try:
            if not await client.has_collection(self.collection):
                await client.create_collection(
                    self.collection,
                    schema=make_accesses_schema(),
                    index_params=make_accesses_index(),
                    consistency_level="Session",
                )
            await client.load_collection(self.collection)
            self.ready = True
        except Exception as error:  # pymilvus raises its own, gRPC's and Python's
            self.ready = False
            log.warning("what is served is not shared with other processes: %s", type(error).__name__)

    async def record(self, batch: Batch) -> None:
        """Write a batch: one row.

        Raises:
            StoreError: Milvus failed, or the batch is too large.
        """
        # the order of the ids is that of the time
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        data = json.dumps(batch.to_json(), separators=(",", ":"))
        kid = self._keyring.current
        mac = self._keyring.sign(kid, _PURPOSE, name, data)
        payload = pack(json.dumps({"kid": kid, "mac": mac, "data": data}))
        await self._on("upsert", data=[{"id": name, "payload": payload, "vector": [1.0, 0.0]}])

    async def take(self, limit: int) -> Sequence[Batch]:
        """Return so many batches at most, oldest first, and delete them; damaged ones are left out.

        Raises:
            StoreError: Milvus failed.
        """
        rows: list[Any] = []
        async for page in pages(self._on, Selector(), ["id", "payload"], limit):
            rows = sorted(page, key=lambda row: str(row["id"]))
            break
        if rows:
            await self._on("delete", filter=BY_ID, filter_params={"ids": [str(row["id"]) for row in rows]})
        return [batch for batch in map(self._batch, rows) if batch is not None]

    async def _on(self, method: str, **arguments: Any) -> Any:
        return await self._connection.call(method, self.collection, **arguments)

    def _batch(self, row: Any) -> Batch | None:
        """Read a batch back, None for one that is not ours."""
        try:
            signed: Any = json.loads(unpack(str(row["payload"])))
            data = str(signed["data"])
            if not self._keyring.verify(str(signed["kid"]), str(signed["mac"]), _PURPOSE, str(row["id"]), data):
                return None
            read: Any = json.loads(data)
            return Batch.from_json(read) if is_object(read) else None
        except (PayloadError, ValueError, KeyError, TypeError, RecursionError):
            return None
