"""How well the kinds of staleness are told apart, and what the mistakes cost.

Beside the classifier: a rule that keeps everything (the majority is timeless), and the regular expression of the analyzer
"basic", which knows two kinds, refused or kept. Questions: our own set (its held-out half is worded unlike the rules, by the
same author), and, under FOREBAY_DATA, CLINC150's test split, other people's words, labelled by intent. BANKING77 has no
labels of ours: of its questions, all for help pages, the shares that are called each kind are shown.

    make bench NAME=volatility ARGS='--json volatility.json'
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _volatility_data import KINDS, banking, clinc, own
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.records import Request
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.volatility.classes import LOOKED_AT, sentences, staleness_of
from forebay.policies.volatility.cues import CUES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# rows: what it is, columns: what it is called, in the order of KINDS. Above the diagonal of lifetimes an answer is served
# stale or to the wrong asker, below it a hit is lost, which costs 1 at most
COST: Final = {
    "timeless": (0.0, 0.2, 0.5, 1.0, 1.0),
    "slow": (1.0, 0.0, 0.5, 1.0, 1.0),
    "daily": (5.0, 4.0, 0.0, 0.5, 0.5),
    "live": (10.0, 10.0, 4.0, 0.0, 0.2),
    "personal": (5.0, 5.0, 3.0, 0.2, 0.0),
}


def called(text: str) -> str:
    return staleness_of(text).volatility.value


def refused(text: str) -> str:
    request = Request("r", "m", ({"role": "user", "content": text},))
    return "live" if BasicAnalyzer().analyze(request).reason == "volatile" else "timeless"


def kept(_: str) -> str:
    return "timeless"


def without(at: int) -> Callable[[str], str]:
    """Return the classifier without one of its cues."""
    cues = [cue for place, cue in enumerate(CUES) if place != at]

    def decide(text: str) -> str:
        there = sentences(text)
        found = next((cue for cue in cues if any(map(cue.fits, there))), None)
        return found.volatility.value if found else "timeless"

    return decide


def measure(source: str, rule: str, rows: Sequence[tuple[str, str]], decide: Callable[[str], str]) -> dict[str, Any]:
    confusion = Counter((kind, decide(text)) for text, kind in rows)
    right = sum(confusion[kind, kind] for kind in KINDS)
    cost = sum(n * COST[kind][KINDS.index(given)] for (kind, given), n in confusion.items())
    row: dict[str, Any] = {"source": source, "rule": rule, "n": len(rows), "accuracy": right / len(rows)}
    row["cost_per_100"] = 100 * cost / len(rows)
    return row | {f"{kind}_as_{given}": confusion[kind, given] for kind in KINDS for given in KINDS}


def share_kept(texts: Sequence[str], decide: Callable[[str], str]) -> float:
    """Return the share of questions whose answers are kept for the whole lifetime."""
    return sum(decide(text) in ("timeless", "slow") for text in texts) / max(1, len(texts))


def show(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    sources = {"dev": own("dev"), "held_out": own("held_out")}
    data = os.environ.get("FOREBAY_DATA")
    if data:
        sources["clinc150 val"] = [(text, kind) for text, kind, _ in clinc(Path(data), "val")]
        sources["clinc150 test"] = [(text, kind) for text, kind, _ in clinc(Path(data), "test")]
    rules = {"volatility": called, "basic's refusal": refused, "all timeless": kept}
    rows = [measure(source, rule, pairs, decide) for source, pairs in sources.items() for rule, decide in rules.items()]
    columns = ("source", "rule", "n", "accuracy", "cost_per_100")
    show(console, "kinds of staleness", columns, [[row[name] for name in columns] for row in rows])
    for row in rows:
        if row["rule"] == "volatility":
            matrix = [[kind, *(row[f"{kind}_as_{given}"] for given in KINDS)] for kind in KINDS]
            show(console, f"{row['source']}: is (down), is called (across)", ("", *KINDS), matrix)
    show(console, "cost of a mistake", ("", *KINDS), [[kind, *COST[kind]] for kind in KINDS])

    # the second split that was looked at, so that the held-out ones stay unread
    seen = sources["dev"] + sources.get("clinc150 val", [])
    whole = measure("dev", "volatility", seen, called)
    help_pages = banking(Path(data))[::10] if data else []
    ablation = []
    for at, cue in enumerate(CUES):
        row = measure("dev and clinc150 val", f"without {cue.reason}", seen, without(at))
        row["cost_added"] = row["cost_per_100"] - whole["cost_per_100"]
        row["banking77_kept"] = share_kept(help_pages, without(at))
        ablation.append(row)
    shown = [[row["rule"], row["accuracy"], row["cost_added"], row["banking77_kept"]] for row in ablation]
    show(
        console,
        f"ablation (whole: {whole['accuracy']:.3f}, {share_kept(help_pages, called):.3f})",
        ("", "accuracy", "cost added per 100", "BANKING77 kept"),
        shown,
    )
    rows += ablation

    if data:
        texts = banking(Path(data))
        counts = Counter(map(called, texts))
        shares = {f"called_{kind}": counts[kind] / len(texts) for kind in KINDS}
        rows.append({"source": "banking77", "rule": "volatility", "n": len(texts), **shares})
        show(console, f"BANKING77, {len(texts)} questions", KINDS, [list(shares.values())])

    questions = [text for text, _ in sources["dev"] + sources["held_out"]]
    long = [
        f"{a} {'The river runs through the valley and past the old mill. ' * 36}{b}" for a, b in pairwise(questions)
    ]
    for case, texts in (("short question", questions), (f"500 tokens, {2 * LOOKED_AT} characters read", long)):
        spent = sorted(timed(text) for text in texts)
        rows.append({"source": case, "rule": "volatility", "n": len(texts), "us_p50": spent[len(spent) // 2]})
        rows[-1]["us_p99"] = spent[len(spent) * 99 // 100]
        console.print(f"{case}: p50 {rows[-1]['us_p50']:.1f} us, p99 {rows[-1]['us_p99']:.1f} us")
    if args.json:
        write_json(args.json, as_json("benchmarks/volatility.py", rows))


def timed(text: str) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        staleness_of(text)
        best = min(best, time.perf_counter() - started)
    return 1e6 * best


if __name__ == "__main__":
    main()
