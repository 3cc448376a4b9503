"""The collection that holds our rows: made where it is missing, checked, and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...middleware.errors import StoreError
from .driver import Profile, error_label, is_refusal, make_index, make_schema
from .filters import BY_ID, filled
from .rows import check_collection


@dataclass(frozen=True, slots=True)
class Collection:
    """What our collection must be.

    Attributes:
        name: its name in Milvus.
        dimension: length of its vectors.
        lite: whether it lies in a Milvus Lite file.
        where: the place, for messages.
    """

    name: str
    dimension: int
    lite: bool
    where: str

    async def prepare(self, client: Any, *, anew: bool) -> tuple[str, Profile, bool]:
        """Bring the collection into shape with a new client.

        Args:
            anew: drop the one that is there.

        Returns:
            What the Milvus says it is, what the collection has, and whether it fills filter templates in (from 2.5 on).

        Raises:
            StoreMismatchError: the one that is there has vectors of another length, or lacks a column.
            StoreError: this Milvus is too old.
        """
        version = f"Milvus {await client.get_server_version()}"
        exists = await client.has_collection(self.name)
        if exists and anew:
            await client.drop_collection(self.name)
            exists = False
        if not exists:
            await self._make(client)
        where = f"collection {self.name!r} at {self.where}"
        profile = check_collection(await client.describe_collection(self.name), self.dimension, where=where)
        await client.load_collection(self.name)
        asked = {"filter": BY_ID, "filter_params": {"ids": ["-"]}, "output_fields": ["id"]}
        try:
            await client.query(self.name, **asked)
        except Exception as error:
            if not is_refusal(error):
                raise
        else:
            return version, profile, True
        try:
            await client.query(self.name, **filled(asked))
        except Exception as error:
            raise StoreError(
                f"{version} at {self.where} answers no filter ({error_label(error)}); forebay needs Milvus 2.3 or newer"
            ) from None
        return version, profile, False

    async def _make(self, client: Any) -> None:
        """Make the collection: with all fields on a server that takes them, with one vector on Milvus Lite.

        On Milvus Lite all fields cost a write half as much again, for searches that the hot tier makes in memory.
        """
        try:
            if self.lite or not await self._made(client, Profile.HYBRID):
                await self._made(client, Profile.ONE, refusable=False)
        except Exception:
            # another process may have made it at the same moment
            if not await client.has_collection(self.name):
                raise

    async def _made(self, client: Any, profile: Profile, *, refusable: bool = True) -> bool:
        try:
            await client.create_collection(
                self.name,
                schema=make_schema(self.dimension, profile),
                index_params=make_index(profile, lite=self.lite),
                consistency_level="Session",
            )
        except Exception as error:
            if not (refusable and is_refusal(error)) or await client.has_collection(self.name):
                raise
            return False
        return True
