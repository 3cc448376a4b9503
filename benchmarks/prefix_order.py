"""Does an order by shared prefixes find more in a prefix cache? Blocks of the Mooncake conversation trace, first come against `prefix`.

Two measures, for caches of 500, 2,000 and 8,000 blocks of 512 tokens:

- model: an engine that reads one prompt after the other, at a rate that the arrivals exceed by `--rho`; a block is a hit where it and
  all before it are in an LRU of that size.
- engine: the simulated engine (RTX PRO 6000, Llama-3.1-8B) with its own prefix cache of that size behind a limit of `--places`: prefill
  is what the cache leaves, so the mean latency and the time to serve all of it show what the order is worth.

    make bench NAME=prefix_order ARGS='--json prefix_order.json'
"""

from __future__ import annotations

import argparse
import json
import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _scheduling import PRO6000, Profile
from _tickets import Ask, by_group, played
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.admission.protocols import Accounting
from forebay.middleware.admission.tickets import Ticket
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.ordering.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.admission.protocols import Ordering

TRACE: Final = "mooncake/conversation_dev.jsonl"
BLOCK: Final = 512
CAPACITIES: Final = (500, 2_000, 8_000)
LONGEST_BLOCKS: Final = 400


def mooncake(path: Path) -> list[Ask]:
    """Read the trace."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Ask(row["timestamp"] / 1_000, row["input_length"], max(1, row["output_length"]), prefix=tuple(row["hash_ids"]))
        for row in rows
    ]


def hit_ratio(asks: Sequence[Ask], capacity: int) -> float:
    """Return the share of blocks that an LRU of that many blocks holds, with all before them."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for ask in asks:
        hits += next((at for at, name in enumerate(ask.prefix) if name not in held), len(ask.prefix))
        for name in reversed(ask.prefix):
            held[name] = None
            held.move_to_end(name)
        while len(held) > capacity:
            held.popitem(last=False)
    return hits / sum(len(ask.prefix) for ask in asks)


def read_in_order(asks: Sequence[Ask], ordering: Ordering, tokens_per_s: float) -> tuple[list[Ask], float, int]:
    """Return the order in which prompts are read, the longest wait, and by how many one was overtaken at most."""
    now_s, coming = 0.0, 0
    order = list[Ask]()
    overtaken = waited_s = 0.0
    while coming < len(asks) or len(ordering):
        while coming < len(asks) and asks[coming].arrival_s <= now_s:
            ask = asks[coming]
            ordering.push(Ticket(str(coming), "t", ask.arrival_s, ask.prompt, prefix=ask.prefix))
            coming += 1
        head = ordering.peek(now_s)
        if head is None:
            now_s = asks[coming].arrival_s
            continue
        ordering.remove(head.id)
        if isinstance(ordering, Accounting):
            ordering.entered(head, now_s)
        overtaken = max(overtaken, len(order) - int(head.id))
        waited_s = max(waited_s, now_s - head.enqueued_s)
        order.append(asks[int(head.id)])
        now_s += head.input_tokens / tokens_per_s
    return order, waited_s, int(overtaken)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOREBAY_DATA", "data")) / "traces")
    parser.add_argument("--rho", type=float, default=1.1)
    parser.add_argument("--places", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1_500, help="of the simulated engine")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    asks = mooncake(args.data / TRACE)
    per_s = sum(ask.prompt for ask in asks) / asks[-1].arrival_s / args.rho
    rows = list[dict[str, Any]]()
    for capacity in CAPACITIES:
        orderings: dict[str, Callable[[], Ordering]] = {
            "fcfs": FCFS,
            "prefix, window 64": lambda capacity=capacity: Prefix(blocks=capacity, window=64),
            "prefix": lambda capacity=capacity: Prefix(blocks=capacity),
            "prefix, 8,000 blocks": Prefix,
        }
        for name, make in orderings.items():
            order, waited_s, overtaken = read_in_order(asks, make(), per_s)
            row = {"trace": Path(TRACE).name, "measure": "model", "capacity_blocks": capacity, "policy": name}
            row |= {"rho": args.rho, "n": len(asks), "hit_ratio": round(hit_ratio(order, capacity), 4)}
            rows.append(row | {"max_wait_s": round(waited_s, 1), "most_overtaken_by": overtaken})
    # prompts that such a cache cannot hold are left out
    some = [replace(ask, prefix=ask.prefix) for ask in asks if len(ask.prefix) <= LONGEST_BLOCKS][: args.requests]
    for capacity in CAPACITIES:
        shape = replace(PRO6000.shape, kv_tokens=capacity * BLOCK, block=BLOCK, prefix_cache=True)
        profile = Profile(PRO6000.name, PRO6000.law, shape)
        for name, make in {"fcfs": FCFS, "prefix": lambda capacity=capacity: Prefix(blocks=capacity)}.items():
            courses = played(
                some, profile, lambda make=make: (make(), FixedLimit(max_inflight=args.places), None), seed=1
            )
            row = {"trace": Path(TRACE).name, "measure": "engine", "capacity_blocks": capacity, "policy": name}
            row |= {"n": len(some), "served_s": round(max(course.ended_s or 0.0 for course in courses), 1)}
            figures = by_group(some, courses)["all"]
            rows.append(row | {key: figures[key] for key in ("mean_e2e_s", "p50_ttft_s", "p99_ttft_s", "max_ttft_s")})
    show(rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/prefix_order.py", rows))


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table a measure."""
    for measure in ("model", "engine"):
        chosen = [row for row in rows if row["measure"] == measure]
        names = [name for name in chosen[0] if name not in ("trace", "measure")]
        table = Table(title=measure, title_justify="left", box=None)
        for name in names:
            table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
        for row in chosen:
            table.add_row(*(str(row[name]) for name in names))
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
