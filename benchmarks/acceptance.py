"""Labelled question pairs: the shipped policies beside the rules that others ship.

The same as `forebay lab acceptance`, with the cuts of GPTCache 0.1.44 (its default comes to a cosine of .6 on unit vectors; .95
is what its documentation advises), RedisVL (distance .1) and sulci (.85) applied to our cosines: their rules, not their
packages. Reads the files named on the command line, or those under FOREBAY_DATA, then generated collisions.

    make bench NAME=acceptance ARGS='--json acceptance.json'
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console

from forebay.adapters.lab.acceptance import measure_files
from forebay.adapters.lab.collisions import BENIGN, collisions, harmless
from forebay.adapters.lab.metrics import clopper_pearson
from forebay.adapters.lab.pairs import read_pairs
from forebay.adapters.lab.report import as_json, show, write_json
from forebay.plugins.lab import tools

RULES = {"GPTCache .6": 0.6, "sulci .85": 0.85, "RedisVL .9": 0.9, "GPTCache .95": 0.95}
COLLISIONS = 1600
HARMLESS = 800


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=None, help="take so many pairs of each file")
    args = parser.parse_args()
    data = os.environ.get("FOREBAY_DATA")
    paths: list[Path] = args.files
    if not paths and data:
        paths = [Path(data) / "semcache/fow-cache/pairs_dev.jsonl", Path(data) / "semcache/qqp_dev.tsv.gz"]
    files = [(path.name, read_pairs(path)[: args.rows]) for path in paths]
    files.append(("generated", [*collisions(COLLISIONS), *harmless(HARMLESS)]))
    rows, cases, measured = measure_files(tools(), files, RULES)
    console = Console()
    show(console, rows, "labelled pairs, MiniLM int8")
    generated = [
        at
        for at, case in enumerate(cases[-COLLISIONS - HARMLESS :], start=len(cases) - COLLISIONS - HARMLESS)
        if case.pair.category != BENIGN
    ]
    for one in measured:
        wrong = sum(one.served[at] for at in generated)
        low, high = clopper_pearson(wrong, len(generated))
        console.print(
            f"collisions served by {one.policy}: {wrong} of {len(generated)} ({low:.4f} to {high:.4f} at 95%)"
        )
    if args.json:
        write_json(args.json, as_json("benchmarks/acceptance.py", rows))


if __name__ == "__main__":
    main()
