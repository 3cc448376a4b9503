"""What came of measuring acceptance policies on labelled pairs: rows, a table, the worst mistakes."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from ...middleware.version import __version__
from .judging import OTHER_SCOPE, verdict_of
from .metrics import auc, best_cut, tpr_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from ...middleware.records import JsonObject, Verdict
    from .judging import Case
    from .tools import Contender

ALL: Final = "all"
_SHOWN: Final = {
    "auc": "auc",
    "tpr_at_fpr_01": "@1%",
    "tpr_at_fpr_02": "@2%",
    "tpr_at_fpr_05": "@5%",
    "served_tpr": "served",
    "served_fpr": "false",
    "wrong_hit_rate": "wrong",
}
_LEGEND: Final = (
    "(pairs with the same answer of all). @1%: share of the same served by the cut that serves 1% of the others. As configured: served, share of the same; false, "
    "share of the others; wrong, share of hits."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy on one file.

    Attributes:
        scores: what curves are drawn of, one a pair.
        served: what the policy serves as it is shipped.
        verdicts: with evidence; empty for plain rules on the cosine.
    """

    policy: str
    scores: Sequence[float]
    served: Sequence[bool]
    verdicts: Sequence[Verdict] = ()


def measure(cases: Sequence[Case], contenders: Mapping[str, Contender], rules: Mapping[str, float]) -> list[Measured]:
    """Return what each policy does, then plain cosine at its best cut, then at the cuts of `rules`."""
    made: list[Measured] = []
    for name, contender in contenders.items():
        verdicts = [verdict_of(contender.policy, case) for case in cases]
        scores = [verdict_of(contender.ranks, case).confidence for case in cases]
        made.append(Measured(name, scores, [verdict.accepted for verdict in verdicts], verdicts))
    cosines = [case.candidate.similarity if case.comparable else -1.0 for case in cases]
    best = best_cut(cosines, [case.pair.same for case in cases])
    for name, cut in {f"cosine {best:.2f} (best here)": best, **rules}.items():
        made.append(Measured(name, cosines, [value >= cut for value in cosines]))
    return made


def rows_of(file: str, cases: Sequence[Case], measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the report's rows: each policy on all pairs, then on each category, where there are several."""
    categories = sorted({case.pair.category for case in cases} - {"", ALL})
    rows: list[dict[str, Any]] = []
    for category in (ALL, *categories):
        chosen = [at for at, case in enumerate(cases) if category in (ALL, case.pair.category)]
        same = [cases[at].pair.same for at in chosen]
        for one in measured:
            scores, served = [one.scores[at] for at in chosen], [one.served[at] for at in chosen]
            rows.append(_row(file, category, one.policy, scores=scores, served=served, same=same))
    return rows


def _row(
    file: str, category: str, policy: str, *, scores: Sequence[float], served: Sequence[bool], same: Sequence[bool]
) -> dict[str, Any]:
    positives = sum(same)
    negatives = len(same) - positives
    right = sum(hit and label for hit, label in zip(served, same, strict=True))
    wrong = sum(served) - right
    values: dict[str, float | None] = {
        "auc": auc(scores, same),
        "tpr_at_fpr_01": tpr_at(scores, same, 0.01),
        "tpr_at_fpr_02": tpr_at(scores, same, 0.02),
        "tpr_at_fpr_05": tpr_at(scores, same, 0.05),
        "served_tpr": right / positives if positives else None,
        "served_fpr": wrong / negatives if negatives else None,
        "wrong_hit_rate": wrong / (right + wrong) if right + wrong else None,
    }
    return {
        "file": file,
        "category": category,
        "policy": policy,
        "n": len(same),
        "positives": positives,
        **{name: None if value is None else round(value, 4) for name, value in values.items()},
    }


def show(console: Console, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print the rows as a table of 80 columns, a part a file and category."""
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None, padding=(0, 1))
    table.add_column("policy", no_wrap=True, max_width=30)
    for head in _SHOWN.values():
        table.add_column(head, justify="right", no_wrap=True, min_width=5)
    before = None
    for row in rows:
        part = row["file"], row["category"]
        if part != before:
            name = f"{row['file']}" if row["category"] == ALL else f"  {row['category']}"
            table.add_row()
            table.add_row(f"[bold]{escape(name)}[/] ({row['positives']} of {row['n']})")
            before = part
        table.add_row(f"  {escape(row['policy'])}", *(_cell(row[name]) for name in _SHOWN))
    console.print(table)
    console.print(_LEGEND, style="dim")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show_mistakes(
    console: Console,
    cases: Sequence[Case],
    one: Measured,
    *,
    names: Sequence[str],
    evidence: Sequence[Sequence[float]],
    most: int,
) -> None:
    """Print the surest wrong hits, then the true pairs that were refused with the least confidence, with their evidence."""
    wrong = [at for at, case in enumerate(cases) if one.served[at] and not case.pair.same]
    missed = [at for at, case in enumerate(cases) if not one.served[at] and case.pair.same]
    wrong.sort(key=lambda at: -one.scores[at])
    missed.sort(key=lambda at: one.scores[at])
    for title, chosen in (
        ("wrong hits, the surest first", wrong),
        ("true pairs refused, the least sure first", missed),
    ):
        console.print(f"\n{one.policy}: {title} ({min(most, len(chosen))} of {len(chosen)})", style="bold")
        for at in chosen[:most]:
            case, verdict = cases[at], one.verdicts[at]
            told = [f"{name} {value:.2g}" for name, value in zip(names, evidence[at], strict=True) if value]
            told = told if verdict.reason != OTHER_SCOPE else []
            console.print(
                f"  confidence {verdict.confidence:.2f}, cosine {case.candidate.similarity:.2f}, {verdict.reason}",
                style="cyan",
            )
            for key, reading in ((case.asked.key.text, case.asked.key.reading), _kept(case)):
                console.print(
                    f"    {key}" + (f"  [leans on: {reading}]" if reading else ""), markup=False, soft_wrap=True
                )
            console.print(f"    {', '.join(told)}", style="dim", markup=False, soft_wrap=True)


def _kept(case: Case) -> tuple[str, str]:
    return case.candidate.entry.question, case.candidate.entry.reading


def as_json(command: str, rows: Sequence[Mapping[str, Any]]) -> JsonObject:
    """Return the report that every lab command and benchmark writes."""
    return {
        "command": command,
        "version": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": list(rows),
    }


def write_json(path: Path, content: JsonObject) -> None:
    """Write JSON for people and programs."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
