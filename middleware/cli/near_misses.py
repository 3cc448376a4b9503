"""``forebay cache near-misses``: what almost was a hit, and why it was not."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ..errors import ForebayError
from ..protocols import Scannable
from ..records import EVERYTHING
from ..state import StateStore
from .session import console, plural, say_json, session_of, table
from .store import opened_store, state_dir_of

if TYPE_CHECKING:
    from .session import Session


def near_misses(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many single requests to show, the nearest first.")] = 10,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest requests to look at.")] = 10_000,
    texts: Annotated[bool, typer.Option("--texts", help="Show both questions, where they are still kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which candidates were refused, why, and how near they were."""
    session = session_of(context)
    found = refusals(session, last)
    reasons = _by_reason(found)
    nearest = sorted(found, key=lambda row: -row["similarity"])[:limit]
    if texts:
        asyncio.run(_add_texts(session, nearest))
    if as_json:
        say_json({"requests": last, "reasons": reasons, "nearest": nearest})
        return
    out = console()
    if not found:
        out.print("no candidate was refused")
        return
    out.print(f"{plural(len(found), 'request')} had a candidate that was not served\n")
    rows = table("why")
    for title in ("requests", "median similarity", "nearest"):
        rows.add_column(title, justify="right")
    for reason in reasons:
        rows.add_row(
            reason["reason"],
            f"{reason['requests']:,}",
            f"{reason['median_similarity']:.3f}",
            f"{reason['most_similarity']:.3f}",
        )
    out.print(rows)
    out.print()
    single = table("similarity", "why", "request", "kept answer")
    for row in nearest:
        single.add_row(f"{row['similarity']:.3f}", row["reason"], row["request_id"], Text(row["entry"][:16], "dim"))
        for text in (row.get("question"), row.get("kept_question")):
            if text:
                single.add_row("", "", Text(_short(text), style="cyan"))
    out.print(single)
    out.print(Text("\n`forebay explain REQUEST` shows all that was decided about one", style="dim"))


def refusals(session: Session, last: int) -> list[dict[str, Any]]:
    """Return one row a request whose candidate was not served: request_id, reason, similarity, confidence, asked, entry."""
    path = state_dir_of(session.config) / "state.db"
    if not path.is_file():
        return []
    state = StateStore(path)
    try:
        return [row for data in state.explanations(last) for row in _refused(data)]
    finally:
        state.close()


def _refused(data: Any) -> list[dict[str, Any]]:
    return [
        {
            "request_id": str(data.get("request_id", "")),
            "reason": "unproven" if decision["choice"] == "unproven" else str(decision.get("reason", "")),
            "similarity": float(decision["similarity"]),
            "confidence": float(decision.get("confidence", 0.0)),
            "asked": str(decision.get("asked", "")),
            "entry": str(decision["entry"]),
        }
        for decision in data.get("decisions", ())
        if decision.get("stop") == "verify" and decision.get("choice") in ("reject", "unproven") and "entry" in decision
    ]


def _by_reason(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[float]] = {}
    for row in found:
        groups.setdefault(row["reason"], []).append(row["similarity"])
    return [
        {
            "reason": reason,
            "requests": len(near),
            "median_similarity": round(median(near), 4),
            "most_similarity": round(max(near), 4),
        }
        for reason, near in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]


async def _add_texts(session: Session, rows: list[dict[str, Any]]) -> None:
    """Put the questions beside their digests; one that is no longer kept has none."""
    wanted = {row[name] for row in rows for name in ("asked", "entry")}
    known: dict[str, str] = {}
    async with opened_store(session.config, session.plugins) as opened:
        if not isinstance(opened.store, Scannable):
            raise ForebayError("the configured store cannot list its entries")
        async for entry in opened.store.scan(EVERYTHING):
            if entry.id in wanted:
                known[entry.id] = entry.question
    for row in rows:
        row["question"], row["kept_question"] = known.get(row["asked"]), known.get(row["entry"])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"  # noqa: PLR2004  (fits a terminal)
