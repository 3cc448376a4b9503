"""Labelled question pairs: which are served, and which must not have been.

Reads the labelled sets under FOREBAY_DATA (semcache/fow-cache/pairs_dev.jsonl, semcache/qqp_dev.tsv.gz) or the
files named on the command line (JSONL with a, b, same_answer; or TSV with text_a, text_b, label). Cosines are of
MiniLM int8, as shipped.

    make bench NAME=acceptance ARGS='--json acceptance.json'
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import io
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.middleware.records import Answer, Candidate, Entry
from forebay.policies.acceptance.threshold import DEFAULT_THRESHOLD, ThresholdAcceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

QQP_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, whether they share an answer, and their cosine."""

    left: str
    right: str
    same: bool
    category: str
    cosine: float


def read_pairs(path: Path) -> Iterable[tuple[str, str, bool, str]]:
    """Yield the pairs of a file; conversations (lists of messages) are left to a later benchmark."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    with io.StringIO(text.decode("utf-8"), newline="") as file:
        if ".tsv" in path.suffixes:
            for row in csv.DictReader(file, delimiter="\t"):
                yield row["text_a"], row["text_b"], row["label"] == "1", "all"
            return
        for line in file:
            pair = json.loads(line)
            if isinstance(pair["a"], str):
                yield pair["a"], pair["b"], bool(pair["same_answer"]), str(pair.get("category", "all"))


async def with_cosines(pairs: Sequence[tuple[str, str, bool, str]]) -> list[Pair]:
    """Embed both sides of every pair."""
    embedder = MiniLMEmbedder(threads=2)
    await embedder.start()
    try:
        texts = list(dict.fromkeys(text for left, right, _, _ in pairs for text in (left, right)))
        vectors: dict[str, Sequence[float]] = {}
        for at in range(0, len(texts), 64):
            part = texts[at : at + 64]
            vectors.update(zip(part, await embedder.embed(part), strict=True))
    finally:
        await embedder.stop()
    return [
        Pair(left, right, same, category, sum(x * y for x, y in zip(vectors[left], vectors[right], strict=True)))
        for left, right, same, category in pairs
    ]


def candidate(pair: Pair) -> Candidate:
    """Return the right side of a pair as a kept entry."""
    answer = Answer({})
    entry = Entry("id", "scope", "", pair.right, answer, "m", "t", 0.0, 1.0)
    return Candidate(entry, pair.cosine)


def threshold(at: float) -> Callable[[Pair], bool]:
    """Return the shipped policy at a threshold."""
    policy = ThresholdAcceptance(threshold=at)
    return lambda pair: policy.judge(pair.left, candidate(pair)).accepted


def auc(scored: Sequence[tuple[float, bool]]) -> float:
    """Return the share of (same, other) pairs that the score puts in the right order, ties half (Mann-Whitney)."""
    ranked = sorted(scored)
    positives = sum(same for _, same in ranked)
    negatives = len(ranked) - positives
    total, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        total += sum(same for _, same in ranked[at:end]) * (at + end + 1) / 2
        at = end
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def tpr_at(scored: Sequence[tuple[float, bool]], most: float) -> float:
    """Return the best true-hit rate of a cut on the score whose false-hit rate is at most this."""
    positives = sum(same for _, same in scored)
    negatives = len(scored) - positives
    best, hits, wrong = 0.0, 0, 0
    ranked = sorted(scored, reverse=True)
    for at, (score, same) in enumerate(ranked):
        hits += same
        wrong += not same
        last_of_score = at + 1 == len(ranked) or ranked[at + 1][0] != score
        if last_of_score and wrong <= most * negatives:
            best = max(best, hits / positives)
    return best


def row(file: str, category: str, policy: str, pairs: Sequence[Pair], serve: Callable[[Pair], bool]) -> dict[str, Any]:
    """Return one line of the report. A refused pair scores -1: a veto is part of the policy."""
    served = [serve(pair) for pair in pairs]
    vetoed = policy.startswith("threshold")
    always = threshold(-1.0)
    scored = [(pair.cosine if not vetoed or always(pair) else -1.0, pair.same) for pair in pairs]
    positives = sum(pair.same for pair in pairs)
    right = sum(hit and pair.same for hit, pair in zip(served, pairs, strict=True))
    wrong = sum(hit and not pair.same for hit, pair in zip(served, pairs, strict=True))
    negatives = len(pairs) - positives
    return {
        "file": file,
        "category": category,
        "policy": policy,
        "n": len(pairs),
        "positives": positives,
        "auc": round(auc(scored), 4) if 0 < positives < len(pairs) else None,
        "tpr_at_fpr_01": round(tpr_at(scored, 0.01), 4) if positives else None,
        "tpr_at_fpr_02": round(tpr_at(scored, 0.02), 4) if positives else None,
        "tpr_at_fpr_05": round(tpr_at(scored, 0.05), 4) if positives else None,
        "served_tpr": round(right / positives, 4) if positives else None,
        "served_fpr": round(wrong / negatives, 4) if negatives else None,
        "wrong_hit_rate": round(wrong / (right + wrong), 4) if right + wrong else None,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip", type=int, default=0, help="rows of a TSV to leave out first")
    args = parser.parse_args()
    data = os.environ.get("FOREBAY_DATA")
    files: list[Path] = args.files or (
        [Path(data) / "semcache/fow-cache/pairs_dev.jsonl", Path(data) / "semcache/qqp_dev.tsv.gz"] if data else []
    )
    if not files:
        parser.error("name a file of labelled pairs, or set FOREBAY_DATA to the folder of the data sets")
    policies: dict[str, Callable[[Pair], bool]] = {
        "threshold": threshold(DEFAULT_THRESHOLD),
        f"cosine {DEFAULT_THRESHOLD:g}": lambda pair: pair.cosine >= DEFAULT_THRESHOLD,
        "GPTCache rule (cosine .6)": lambda pair: pair.cosine >= 0.6,
    }
    rows: list[dict[str, Any]] = []
    for path in files:
        raw = list(read_pairs(path))
        if ".tsv" in path.suffixes:
            raw = raw[args.skip : args.skip + QQP_ROWS]
        pairs = asyncio.run(with_cosines(raw))
        categories = ["all", *sorted({pair.category for pair in pairs} - {"all"})]
        for category in categories:
            chosen = [pair for pair in pairs if category in ("all", pair.category)]
            rows += [row(path.name, category, name, chosen, serve) for name, serve in policies.items()]
    show(rows)
    if args.json:
        report = {
            "command": "benchmarks/acceptance.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="labelled pairs, MiniLM int8")
    for name in (
        "file",
        "category",
        "policy",
        "n",
        "served_tpr",
        "served_fpr",
        "wrong_hit_rate",
        "tpr_at_fpr_05",
        "auc",
    ):
        table.add_column(name, justify="left" if name in ("file", "category", "policy") else "right")
    for line in rows:
        table.add_row(
            *("" if line[str(column.header)] is None else str(line[str(column.header)]) for column in table.columns)
        )
    Console().print(table)


if __name__ == "__main__":
    main()
