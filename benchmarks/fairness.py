"""Who waits for whom: orderings in front of a simulated engine, by tenant and by priority class.

- arena: the 27 tenants of the OSDI'24 VTC replay, three times over, at .6 of what the engine can serve, and a heavy tenant at .7
  that sends the Azure conversation trace.
- classes: Azure conversations at .9, of which 70% are interactive (first token within 2 s) and 30% batch (120 s).
- gap: two tenants that wait all the time, one with short requests and one with long ones; how far apart what they were served gets,
  in prompt tokens and twice the output tokens.
- lengths: Azure code at .8, one tenant: the mean latency.

Engine: RTX PRO 6000 with Llama-3.1-8B as fitted; predicted lengths have a rank correlation of .44 with the true ones. The limit and
the shedding policy are built by name with their defaults (`--places` for the limit "fixed").

    make bench NAME=fairness ARGS='--limit fixed --places 96 --json fairness.json'
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _scheduling import OBJECTIVE, PRO6000, Row, at_load, azure, saturation
from _tickets import Ask, Parts, arena, by_group, played
from baselines.hrrn import HRRN
from baselines.round_robin import RoundRobin
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.admission.tickets import Objective
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import LIMIT, SHEDDING, Build
from forebay.middleware.telemetry import Telemetry
from forebay.policies.ordering.composed import Composed
from forebay.policies.ordering.fair import Fair
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.ordering.shortest_first import ShortestFirst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.admission.protocols import Limit, Ordering, Shedding
    from forebay.policies.simulation.simulator import Course

ORDERINGS: Final[dict[str, Callable[[], Ordering]]] = {
    "fcfs": FCFS,
    "round_robin": RoundRobin,
    "hrrn": HRRN,
    "shortest_first": ShortestFirst,
    "fair": Fair,
    "composed": Composed,
}
ROUNDS: Final = 3
BATCH: Final = Objective(ttft_s=120.0)
SHOWN: Final = ("n", "goodput", "rejected", "mean_e2e_s", "p50_ttft_s", "p99_ttft_s", "max_ttft_s", "seconds_per_token")


def plain(rows: Sequence[Row], **more: Any) -> list[Ask]:
    """Return rows of a trace as requests."""
    return [Ask(row.arrival_s, row.prompt, row.output, **more) for row in rows]


def arena_and_heavy(data: Path, start: int) -> list[Ask]:
    """Return the light tenants and the heavy one."""
    once = arena(data / "lmsys_arena/vtc_real_trace.csv")
    per_s = saturation([Row(0.0, ask.prompt, ask.output) for ask in once], PRO6000)
    span_s = len(once) / (0.6 * per_s)
    stretch = span_s / once[-1].arrival_s
    light = [
        replace(ask, arrival_s=ask.arrival_s * stretch + turn * span_s, group="light")
        for turn in range(ROUNDS)
        for ask in once
    ]
    rows = azure(data / "azure2023/conv_dev.csv")[start:]
    per_s = saturation(rows[:4_000], PRO6000)
    heavy = at_load(rows[: int(ROUNDS * span_s * 0.7 * per_s)], 0.7, per_s)
    return sorted([*light, *plain(heavy, tenant="heavy", group="heavy")], key=lambda ask: ask.arrival_s)


def classes(data: Path, start: int) -> list[Ask]:
    """Return interactive and batch requests."""
    rows = azure(data / "azure2023/conv_dev.csv")[start : start + 4_000]
    draw = random.Random(1)
    asks = list[Ask]()
    for ask in plain(at_load(rows, 0.9, saturation(rows, PRO6000))):
        if draw.random() < 0.3:
            asks.append(replace(ask, group="batch", priority=Priority.BATCH, objective=BATCH))
        else:
            asks.append(replace(ask, group="interactive", priority=Priority.INTERACTIVE, objective=OBJECTIVE))
    return asks


def two_busy(data: Path, start: int) -> list[Ask]:
    """Return two tenants' requests, all there from the start."""
    short = arena(data / "lmsys_arena/vtc_real_trace.csv")[:1_000]
    long = azure(data / "azure2023/conv_dev.csv")[start : start + 1_000]
    one = [replace(ask, arrival_s=0.0, tenant="short", group="short") for ask in short]
    other = plain([replace(row, arrival_s=0.0) for row in long], tenant="long", group="long")
    return [ask for pair in zip(one, other, strict=True) for ask in pair]


def code(data: Path, start: int) -> list[Ask]:
    """Return the requests of a coding assistant."""
    rows = azure(data / "azure2023/code_dev.csv")[start:]
    return plain(at_load(rows, 0.8, saturation(rows, PRO6000)))


SCENARIOS: Final[dict[str, tuple[Callable[[Path, int], list[Ask]], str, str]]] = {
    "arena": (arena_and_heavy, "vtc_real_trace.csv, conv_dev.csv", "0.6+0.7"),
    "classes": (classes, "conv_dev.csv", "0.9"),
    "gap": (two_busy, "vtc_real_trace.csv, conv_dev.csv", "all at once"),
    "lengths": (code, "code_dev.csv", "0.8"),
}


def service_gap(asks: Sequence[Ask], courses: Sequence[Course]) -> float:
    """Return how far apart what two tenants were let in with gets while both wait."""
    had: dict[str, float] = dict.fromkeys((ask.tenant for ask in asks), 0.0)
    left = {name: sum(ask.tenant == name for ask in asks) for name in had}
    widest = 0.0
    for at in sorted(range(len(asks)), key=lambda at: (courses[at].entered_s or 0.0, at)):
        if (courses[at].entered_s or 0.0) == 0.0:
            left[asks[at].tenant] -= 1
            continue  # there was room for all
        had[asks[at].tenant] += asks[at].prompt + 2 * asks[at].output
        left[asks[at].tenant] -= 1
        if not all(left.values()):
            break
        widest = max(widest, max(had.values()) - min(had.values()))
    return widest


def named(kind: Any, name: str, settings: dict[str, Any]) -> Callable[[], Any]:
    """Return what makes a component of the registry anew."""
    registry = PluginManager.from_entry_points().registry
    build = Build(
        Path(tempfile.mkdtemp()), Keyring.from_secret("a secret for this benchmark"), Telemetry(enabled=False)
    )
    return lambda: registry.build(kind, name, settings, build)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOREBAY_DATA", "data")) / "traces")
    parser.add_argument("--limit", default="fixed")
    parser.add_argument("--places", type=int, default=96, help='of the limit "fixed"')
    parser.add_argument("--settings", default="{}", help="of another limit, as JSON")
    parser.add_argument("--shedding", help="none by default")
    parser.add_argument("--start", type=int, default=0, help="first row of the Azure traces")
    parser.add_argument("--seed", type=int, default=1, help="of the predictor's errors")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    fixed = args.limit == "fixed"
    its = {"max_inflight": args.places} if fixed else json.loads(args.settings)
    limit: Callable[[], Limit] = named(LIMIT, args.limit, its)
    shedding: Callable[[], Shedding | None] = named(SHEDDING, args.shedding, {}) if args.shedding else lambda: None
    behind = " + ".join(filter(None, (f"{args.limit} {args.places}" if fixed else args.limit, args.shedding)))

    def parts(make: Callable[[], Ordering]) -> Callable[[], Parts]:
        return lambda: (make(), limit(), shedding())

    rows = list[dict[str, Any]]()
    for scenario in args.scenarios:
        make, trace, rho = SCENARIOS[scenario]
        asks = make(args.data, args.start)
        runs = {"direct": None, **{f"{name}, {behind}": parts(each) for name, each in ORDERINGS.items()}}
        for policy, run in runs.items():
            courses = played(asks, PRO6000, run, seed=args.seed)
            head = {"trace": trace, "rows": f"{args.start}:", "profile": PRO6000.name, "rho": rho, "case": scenario}
            for group, figures in by_group(asks, courses).items():
                row = {**head, "policy": policy, "tenant": group, **figures}
                if scenario == "gap" and group == "all":
                    row["service_gap_tokens"] = service_gap(asks, courses)
                rows.append(row)
    show(rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/fairness.py", rows))


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table a scenario."""
    for scenario in dict.fromkeys(row["case"] for row in rows):
        gap = ("service_gap_tokens",) if scenario == "gap" else ()
        table = Table(title=scenario, title_justify="left", box=None)
        for name in ("policy", "tenant", *SHOWN, *gap):
            table.add_column(name, justify="left" if name in ("policy", "tenant") else "right", no_wrap=True)
        for row in rows:
            if row["case"] == scenario:
                table.add_row(row["policy"], row["tenant"], *(str(row.get(name, "")) for name in (*SHOWN, *gap)))
        Console(width=170).print(table)


if __name__ == "__main__":
    main()
