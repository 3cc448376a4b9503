"""``forebay cache``: look into the kept answers and drop them all."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from ..errors import ForebayError
from ..invalidation import AT_ONCE, together
from ..records import EVERYTHING
from .session import console, plural, say_json, session_of, table
from .store import OutOfReachError, coordinated, opened_store, scannable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..coordination import Told
    from ..records import Selector
    from .session import Session

WAIT_S: Final = 10.0
"""How long the running processes may take to forget."""


def stats(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the kept answers."""
    found = asyncio.run(_stats(session_of(context)))
    if as_json:
        say_json(found)
        return
    out = console()
    if not found["entries"]:
        out.print("no answers are kept")
        return
    out.print(
        f"{plural(found['entries'], 'answer')}, {size_text(found['bytes'])}, "
        f"{found['with_vector']:,} with a vector, {found['expired']:,} expired"
    )
    out.print(f"kept between {age_text(found['oldest_s'])} and {age_text(found['newest_s'])} ago\n")
    rows = table("model", "answers", "size", "tokens to make them again")
    for model in found["models"]:
        rows.add_row(model["model"], f"{model['entries']:,}", size_text(model["bytes"]), f"{model['cost_tokens']:,.0f}")
    out.print(rows)
    if found["damaged"]:
        out.print(
            Text(
                f"\n{found['damaged']:,} more cannot be read: damaged, or signed with another secret; "
                "`forebay cache clear` drops them, too",
                style="yellow",
            )
        )


def clear(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop every kept answer, of all tenants and models."""
    if not yes:
        typer.confirm("Drop every kept answer, of all tenants and models?", abort=True)
    asyncio.run(delete(session_of(context), [EVERYTHING]))


async def _stats(session: Session) -> dict[str, Any]:
    entries = expired = size = vectors = 0
    oldest, newest = math.inf, -math.inf
    count: Counter[str] = Counter()
    size_of: Counter[str] = Counter()
    cost_of: dict[str, float] = {}
    now = time()
    async with opened_store(session.config, session.plugins) as opened:
        store = opened.store
        async for entry in scannable(store, session.config).scan(EVERYTHING):
            entries += 1
            size += entry.size_bytes
            vectors += entry.vector is not None
            expired += entry.expires_s <= now
            oldest, newest = min(oldest, entry.created_s), max(newest, entry.created_s)
            count[entry.model] += 1
            size_of[entry.model] += entry.size_bytes
            cost_of[entry.model] = cost_of.get(entry.model, 0.0) + entry.cost
        damaged = int(getattr(store, "damaged", 0))
    return {
        "entries": entries,
        "bytes": size,
        "with_vector": vectors,
        "expired": expired,
        "damaged": damaged,
        "oldest_s": oldest if entries else None,
        "newest_s": newest if entries else None,
        "models": [
            {"model": model, "entries": number, "bytes": size_of[model], "cost_tokens": cost_of[model]}
            for model, number in count.most_common()
        ],
    }


async def delete(session: Session, selectors: Sequence[Selector]) -> int:
    """Let every running process forget what matches one of these, then delete it here, too; say and return how many that were.

    Raises:
        ForebayError: a running process did not do it, or nobody can.
    """
    told, dropped = await forgotten(session, selectors)
    where = f", {plural(told.answered, 'running process', 'running processes')} told" if told.workers else ""
    console().print(f"dropped {plural(dropped, 'answer')}{where}")
    check_answers(told)
    return dropped


async def forgotten(session: Session, selectors: Sequence[Selector]) -> tuple[Told, int]:
    """Let every running process forget, then delete it here, too; return what they said, and how many entries that were.

    Raises:
        ForebayError: nobody can.
    """
    async with coordinated(session.config, session.plugins) as coordination:
        told = together(
            [
                each
                for start in range(0, len(selectors), AT_ONCE)
                for each in await asyncio.gather(
                    *(coordination.tell(selector, WAIT_S) for selector in selectors[start : start + AT_ONCE])
                )
            ]
        )
    dropped = told.dropped
    try:
        async with opened_store(session.config, session.plugins) as opened:
            for selector in selectors:
                dropped += await opened.store.delete(selector)
    except OutOfReachError:
        if not told.workers:
            raise
    return told, dropped


def check_answers(told: Told) -> None:
    """Check that all running processes have done what they were told.

    Raises:
        ForebayError: one has not.
    """
    if told.answered < told.workers:
        raise ForebayError(
            f"{told.workers - told.answered} of {told.workers} running processes have not answered within {WAIT_S:g} s: "
            "see their logs, and run this again or restart them"
        )


def size_text(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004  (what a KiB is)
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def age_text(moment_s: float) -> str:
    """Return how long ago a moment of the Unix epoch is, for people."""
    seconds = max(0.0, time() - moment_s)
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} seconds"
