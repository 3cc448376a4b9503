"""A real vLLM with four places at five times what it can do: forebay's queue in front of it, against vLLM's own bound.

One engine in this process, SmolLM2-135M on the CPU. Requests of 8 to 96 tokens come at random, whatever became of earlier ones
(open loop), and each case gets the same ones. ``vllm N``: the bare engine with ``--max-num-queued-reqs N``, which counts those it
works on, too. ``forebay``: as ``forebay vllm serve`` ships it, with ``shedding: {type: deadline, by_objective: true}``. With
`--unbounded` also ``vllm``: without a bound, and ``forebay, default``: without shedding by objective.

Good is an answer with the first token within `--ttft` seconds and each further one within `--tpot`, forebay's default objective. The
rate is `--factor` times what the bare engine does in a closed loop.

    make bench NAME=vllm_overload ARGS='--json vllm_overload.json'
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import _vllm_asks as asks
from _latency_report import at_share
from _vllm_engine import MODEL, SLOTS, Engine, engine, fronted
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _vllm_engine import Ask, Seen

BOUNDS: Final = (4, 5, 6, 8, 12, 16, 24)
SHED: Final[Mapping[str, Any]] = {"shedding": {"type": "deadline", "by_objective": True}}
CLOSED: Final = 48
COLUMNS: Final = ("case", "n", "good_per_s", "share", "refused", "served", "ttft_p50_s", "ttft_p99_s", "refusal_p99_ms")


async def run(arguments: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Run all cases, bare ones before and after those with forebay, and return a row each."""
    rows: list[dict[str, Any]] = []
    async with engine(arguments.model) as running:
        await running.burst(running.bare, asks.uniform(99, 8))  # what is computed first is slow
        capacity = await _capacity(running)
        console.print(f"closed loop, {2 * SLOTS} clients: {capacity:.2f} requests a second")
        given = asks.crowd(arguments.factor * capacity, arguments.seconds, 1)
        bounds: list[int | None] = [*arguments.bounds, *([None] if arguments.unbounded else [])]
        half = len(bounds) // 2
        for bound in bounds[:half]:
            rows.append(await _bounded(running, given, bound, arguments))
            console.print(rows[-1])
        unshed: Sequence[tuple[str, Mapping[str, Any]]] = [("forebay, default", {})] if arguments.unbounded else []
        for name, settings in (("forebay", SHED), *unshed):
            async with fronted(running, settings) as wrapped:
                # it has served this engine for a while, as the bare one has
                await running.opened(wrapped, asks.crowd(0.7 * capacity, arguments.warm, 2))
                rows.append(_row(name, await running.opened(wrapped, given), arguments))
            console.print(rows[-1])
        for bound in bounds[half:]:
            rows.append(await _bounded(running, given, bound, arguments))
            console.print(rows[-1])
    return rows


async def _capacity(running: Engine) -> float:
    seen = await running.closed(running.bare, asks.crowd(CLOSED, 1.0, 3), 2 * SLOTS)
    return len(seen) / (max(one.ended_s for one in seen) - min(one.began_s for one in seen))


async def _bounded(
    running: Engine, given: Sequence[Ask], bound: int | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    running.bare.scheduler_config.max_num_queued_reqs = bound
    try:
        seen = await running.opened(running.bare, given)
    finally:
        running.bare.scheduler_config.max_num_queued_reqs = None
    return _row("vllm" if bound is None else f"vllm {bound}", seen, arguments)


def _row(name: str, seen: Sequence[Seen], arguments: argparse.Namespace) -> dict[str, Any]:
    served = [one for one in seen if not one.refused]
    good = [one for one in served if one.first_s <= arguments.ttft and one.tpot_s <= arguments.tpot]
    firsts = sorted(one.first_s for one in served)
    refusals = sorted(1000 * one.total_s for one in seen if one.refused)
    return {
        "case": name,
        "n": len(seen),
        "good_per_s": round(len(good) / arguments.seconds, 3),
        "share": round(len(good) / len(seen), 3),
        "refused": len(seen) - len(served),
        "served": len(served),
        "ttft_p50_s": at_share(firsts, 0.5),
        "ttft_p99_s": at_share(firsts, 0.99),
        "refusal_p99_ms": at_share(refusals, 0.99),
    }


def _show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="Good requests a second at an overload", box=None, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in COLUMNS))
    console.print(table)
    best = max((row for row in rows if row["case"].startswith("vllm")), key=lambda row: row["good_per_s"])
    ours = next(row for row in rows if row["case"] == "forebay")
    ratio = ours["good_per_s"] / best["good_per_s"] if best["good_per_s"] else float("inf")
    console.print(f"forebay over the best of vLLM's own, {best['case']}: {ratio:.3f} (must be above 1)")


def main() -> None:
    """Run and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each case")
    parser.add_argument(
        "--warm", type=float, default=30.0, help="seconds at .7 times the capacity before forebay's cases"
    )
    parser.add_argument("--factor", type=float, default=5.0)
    parser.add_argument("--bounds", type=lambda text: [int(one) for one in text.split(",")], default=list(BOUNDS))
    parser.add_argument("--unbounded", action="store_true", help="with the cases in which all wait: minutes each")
    parser.add_argument("--ttft", type=float, default=5.0)
    parser.add_argument("--tpot", type=float, default=0.2)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    began = time.monotonic()
    rows = asyncio.run(run(arguments, console))
    _show(console, rows)
    console.print(f"{time.monotonic() - began:.0f} s")
    if arguments.json is not None:
        write_json(arguments.json, as_json("benchmarks/vllm_overload.py", rows))


if __name__ == "__main__":
    main()
