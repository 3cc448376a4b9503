"""``forebay cache erase``: remove all that is kept about one tenant, and say what that was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from ..erasure import erase_state, keys_of
from ..errors import ForebayError
from ..protocols import Scannable
from ..records import Selector
from .cache import WAIT_S, check_answers
from .invalidate import bumped, opened_state
from .session import console, plural, say_json, session_of, table
from .store import OutOfReachError, coordinated, keyring_of, opened_store

if TYPE_CHECKING:
    from ..coordination import Told
    from .session import Session

ROUNDS: Final = 3
"""Of telling, deleting and looking again: an answer that was being written at the first comes with the second."""
NOT_ATTRIBUTABLE: Final = (
    "the tenant's keyed digest and the time of this, which keep what was in flight from being served",
    "what was learned of all requests together: counts and keyed digests in the snapshots of policies and predictors",
    "savings counted under labels that others may share: name them with --key to delete them",
    "pairs of keyed digests in the memory of running processes, until they end",
    "notes to other workers for an hour (keyed digests), and answers handed over through Redis for some seconds",
    "files that were made of the cache (`forebay cache export`), traces, and the logs of other programs",
)
"""What erasing a tenant leaves, for people."""


@dataclass(slots=True)
class Erased:
    """What was removed, by place.

    Attributes:
        left: answers that were still found at the end.
        checked: whether the store was looked into; else only running processes were asked.
    """

    running: int = 0
    store: int = 0
    left: int = 0
    checked: bool = False


def erase(
    context: typer.Context,
    tenant: Annotated[
        str, typer.Option("--tenant", help="The tenant's name; with LiteLLM it is like key=HASH|team=ID.")
    ],
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key", help="A label of `forebay savings --by key` that is this tenant's alone; may be repeated."
        ),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove all that is kept of a tenant, here and in running processes, and look again whether it is gone."""
    if not yes:
        typer.confirm("Remove every answer of this tenant, and what is known of its requests, for good?", abort=True)
    session = session_of(context)
    digest = keyring_of(session.config).digest("tenant", tenant)
    told = asyncio.run(bumped(session, digest))
    check_answers(told)
    names, erased = asyncio.run(_answers(session, digest))
    with opened_state(session.config) as state:
        rows = erase_state(state, digest, names, keys_of(tenant) | set(keys or ()))
    removed = {
        "answers in running processes": erased.running,
        "answers in the store": erased.store,
        "explanations of requests": rows.explanations,
        "pairs that must not match": rows.refused_pairs,
        "rows of savings": rows.savings,
    }
    report: dict[str, Any] = {
        "tenant": digest,
        "removed": removed,
        "left": erased.left,
        "store_looked_into": erased.checked,
        "processes": {"told": told.workers, "answered": told.answered},
        "not_removed": list(NOT_ATTRIBUTABLE),
    }
    if as_json:
        say_json(report)
    else:
        _show(removed, erased, told)
    if erased.left:
        raise ForebayError(f"{plural(erased.left, 'answer')} of this tenant is there again: run this again")


async def _answers(session: Session, tenant: str) -> tuple[set[str], Erased]:
    """Delete a tenant's answers everywhere, also expired and damaged ones; return their ids, as far as they can be read."""
    selector = Selector(tenant=tenant)
    erased = Erased()
    names: set[str] = set()
    for _ in range(ROUNDS):
        async with coordinated(session.config, session.plugins) as coordination:
            told = await coordination.tell(selector, WAIT_S)
        check_answers(told)
        erased.running += told.dropped
        erased.left = told.dropped
        try:
            async with opened_store(session.config, session.plugins) as opened:
                if isinstance(opened.store, Scannable):
                    names |= {entry.id async for entry in opened.store.scan(selector)}
                deleted = await opened.store.delete(selector)
            erased.checked = True
            erased.store += deleted
            erased.left += deleted
        except OutOfReachError:
            if not told.workers:
                raise
        if not erased.left:
            break
    return names, erased


def _show(removed: dict[str, int], erased: Erased, told: Told) -> None:
    rows = table("removed")
    rows.add_column("how many", justify="right")
    for place, count in removed.items():
        rows.add_row(place, f"{count:,}")
    out = console()
    out.print(rows)
    asked = f"{plural(told.workers, 'running process', 'running processes')} asked" if told.workers else ""
    looked = "the store looked into" if erased.checked else "the store is inside a running process"
    out.print(f"\nafter that {erased.left:,} found: {', '.join(filter(None, (asked, looked)))}")
    out.print(Text("not removed, because it names nobody or is not here:", style="dim"))
    for each in NOT_ATTRIBUTABLE:
        out.print(Text(f"  - {each}", style="dim"))
