"""Reading all rows that match, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .filters import selection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ...middleware.records import Selector

Call: TypeAlias = "Callable[..., Awaitable[Any]]"
"""Calls the method of the Milvus client that its first argument names, on our collection."""

IDS_A_PAGE: Final = 1000
"""A Milvus server returns 16,384 rows at most, and deletes a thousand in one call without trouble."""


async def pages(call: Call, selector: Selector, fields: list[str], size: int) -> AsyncIterator[list[Any]]:
    """Yield the rows that match by ascending id, `size` at a time: what pymilvus's query iterator does.

    Raises:
        StoreError: whatever `call` raises.
    """
    template, values = selection(selector)
    template = " and ".join(filter(None, (template, "id > {after}")))
    after = ""
    while True:
        rows: list[Any] = await call(
            "query",
            filter=template,
            filter_params={**values, "after": after},
            output_fields=fields,
            limit=size,
            iterator="True",
            reduce_stop_for_best=True,
        )
        if rows:
            yield rows
        if len(rows) < size:
            return
        after = max(str(row["id"]) for row in rows)
