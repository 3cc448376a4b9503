"""What each eviction policy saves of real traces, beside libcachesim, theine, cachetools and the optimum, in the same run.

The traces are those of the folder that FOREBAY_DATA names: four of Caffeine's and Mooncake's prefix blocks; of scarab the first
million requests. A trace without costs gets one seeded output length of the Azure conversation trace a key, the same for all
policies. Replayed by `forebay lab eviction`'s own code, room for 1, 5 and 10% of the distinct keys. Then what has to hold is said:

    same algorithm    points of hit ratio by which ours is below libcachesim's, at most .5 (but for W-TinyLFU with a room of
                      fewer than 100 entries, where libcachesim's keeps next to nothing)
    adaptive          points of cost saved below the best fixed policy of ours, on a row and on average
    beside GDSF       points of cost saved above GDSF by cost as it was published

    make bench NAME=eviction ARGS='--json eviction.json'
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from forebay.adapters.lab.eviction import OWN, rows_of, show
from forebay.adapters.lab.eviction_traces import read_requests, with_lengths
from forebay.adapters.lab.report import as_json, write_json
from forebay.plugins.lab import eviction_tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRACES: Final = (
    "cache/caffeine_cache2k_web12.trace.xz",
    "cache/caffeine_scarab_scarab-recs.trace.xz",
    "cache/caffeine_lirs_sprite.trace.gz",
    "cache/caffeine_adapt_size_request.trace.xz",
    "mooncake/conversation_dev.jsonl",
)
LIMIT: Final = 1_000_000
CAPACITIES: Final = ("1%", "5%", "10%")
SAME: Final = {"lru": "LRU", "s3fifo": "S3FIFO", "wtinylfu": "WTinyLFU"}
TINY: Final = 100
PUBLISHED: Final = "gdsf as published"


def verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what has to hold, in points, the worst row of each."""
    cells: dict[tuple[str, int], dict[tuple[str, str], Mapping[str, Any]]] = defaultdict(dict)
    for row in rows:
        cells[row["trace"], row["capacity_entries"]][row["source"].split()[0], row["policy"]] = row
    below: dict[str, float] = {}
    behind, above = [], {}
    saved: dict[str, list[float]] = defaultdict(list)
    for (trace, entries), cell in cells.items():
        for ours, theirs in SAME.items():
            peer = cell.get(("libcachesim", theirs))
            if peer is not None and (ours != "wtinylfu" or entries >= TINY):
                gap = 100 * (peer["hit_ratio"] - cell[OWN, ours]["hit_ratio"])
                below[ours] = max(below.get(ours, -100.0), gap)
        for (source, policy), row in cell.items():
            if source == OWN:
                saved[policy].append(100 * row["cost_saved"])
        fixed = max(
            row["cost_saved"] for (source, policy), row in cell.items() if source == OWN and policy != "adaptive"
        )
        behind.append(100 * (fixed - cell[OWN, "adaptive"]["cost_saved"]))
        above[f"{trace} {entries}"] = 100 * (cell[OWN, "adaptive"]["cost_saved"] - cell[OWN, PUBLISHED]["cost_saved"])
    means = {policy: fmean(values) for policy, values in saved.items()}
    return {
        "points of hit ratio below libcachesim's, worst row": {name: round(gap, 2) for name, gap in below.items()},
        "points of cost saved behind the best fixed, worst row": round(max(behind), 2),
        "mean cost saved": {name: round(mean, 2) for name, mean in sorted(means.items(), key=lambda each: -each[1])},
        "points above GDSF as published": {name: round(gap, 2) for name, gap in above.items()},
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    folder = os.environ.get("FOREBAY_DATA")
    if folder is None:
        parser.error("set FOREBAY_DATA to the folder that holds traces/cache and traces/mooncake")
    traces, console = Path(folder) / "traces", Console()
    rows: list[dict[str, Any]] = []
    for name in TRACES:
        requests = read_requests(traces / name, limit=LIMIT)
        if requests.unit == "requests":
            requests = with_lengths(requests, traces / "azure2023/conv_dev.csv", args.seed)
        made = list(rows_of(eviction_tools(), requests, CAPACITIES, beside=True))
        show(console, requests, made)
        rows += made
    found = verdicts(rows)
    console.print(found)
    if args.json:
        write_json(args.json, as_json("benchmarks/eviction.py", [*rows, found]))


if __name__ == "__main__":
    main()
