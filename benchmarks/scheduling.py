"""The queue in front of a simulated engine: orderings, limits and shedding as shipped, beside no queue and anchors' limits.

Reads the Azure traces under FOREBAY_DATA. Conversations: ten windows of 4,000 rows, one every 666 rows (they overlap); code: all
5,000. Time is scaled so that requests come at `rho` times the rate at which the engine serves the window when all of it comes
at once. Good: first token within 2 s, 50 ms for each other token; a refused request is not good. Lengths are predicted with a
log-normal error of Kendall's tau .44; nothing else is known of a request. Every policy sees the same requests, `direct` lets
them into the engine as they come.

None of the ten windows is unseen: runs over all of them were looked at while the limit and the shedding were made. The last
changes were chosen on windows 0, 2 and 4 alone, and on the code trace. `--cases held_out` is what nothing was chosen on, and
nothing was changed by what it had shown (it was run again when the order within a tenant had changed): lengths of ShareGPT that come as ServeGen's m-small draws them, 3,333 rows each, and
the arena trace of VTC as one tenant, three times over, both with other seeds of the predictor's noise. (The `fairness` benchmark
plays that trace, too, with its tenants, which the account of tenants was made on; the limit and the shedding were not.)

    make bench NAME=scheduling ARGS='--json scheduling.json --plot scheduling.png'
    make bench NAME=scheduling ARGS='--cases held_out --json scheduling_held_out.json'
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from _scheduling import PRO6000, RTX4090, TAU, Figures, Policy, Profile, Row, at_load, azure, play, saturation, spread
from _tickets import arena
from baselines.aimd import Aimd
from baselines.envoy_gradient import EnvoyGradient
from baselines.gradient2 import Gradient2
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.adapters.lab.scheduling_servegen import draw_requests
from forebay.adapters.lab.traces import read_rows
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.goodput import GoodputLimit
from forebay.policies.limit.none import NoLimit
from forebay.policies.limit.tokens import TokenLimit
from forebay.policies.ordering.composed import Composed
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.shedding.deadline import DeadlineShedding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.admission.protocols import Limit, Ordering

DIRECT: Final = "direct"
SHIPPED: Final = "composed + goodput"
TOLD_LESS: Final = "composed + goodput, told nothing"
WINDOWS: Final = 10
ROUNDS: Final = 3
_EVERY: Final = 666
_LENGTH: Final = 4_000


def _kv(profile: Profile) -> int:
    return profile.shape.kv_tokens or 0


def _places(profile: Profile) -> int:
    return profile.shape.max_num_seqs or 0


LIMITS: Final[dict[str, tuple[Callable[[], Ordering], Callable[[Profile], Limit]]]] = {
    SHIPPED: (Composed, lambda engine: GoodputLimit(max_inflight=_places(engine), kv_tokens=_kv(engine))),
    "fcfs + fixed 64": (FCFS, lambda _: FixedLimit(max_inflight=64)),
    "composed + none": (Composed, lambda _: NoLimit()),
    "composed + fixed max": (Composed, lambda engine: FixedLimit(max_inflight=_places(engine))),
    "composed + fixed 96": (Composed, lambda _: FixedLimit(max_inflight=96)),
    "composed + fixed 64": (Composed, lambda _: FixedLimit(max_inflight=64)),
    "composed + tokens": (
        Composed,
        lambda engine: TokenLimit(kv_tokens=_kv(engine), max_inflight=_places(engine)),
    ),
    TOLD_LESS: (Composed, lambda _: GoodputLimit()),
    "composed + AIMD": (Composed, lambda _: Aimd()),
    "composed + Gradient2": (Composed, lambda _: Gradient2()),
    "composed + Envoy": (Composed, lambda _: EnvoyGradient()),
}


@dataclass(frozen=True, slots=True)
class Case:
    """What comes, to which engine, and whether anybody may be refused."""

    trace: str
    profile: Profile
    rho: float
    sheds: bool

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.trace}, {self.profile.name}, rho {self.rho:g}, {'shedding' if self.sheds else 'no shedding'}"


CASES: Final = (
    *(Case("conv", PRO6000, rho, sheds=False) for rho in (0.5, 0.7, 0.9, 1.05)),
    *(Case("conv", PRO6000, rho, sheds=True) for rho in (0.7, 0.9, 1.05, 1.3)),
    Case("code", PRO6000, 0.8, sheds=False),
    Case("conv", RTX4090, 1.1, sheds=True),
)


HELD_OUT: Final = tuple(
    Case(trace, PRO6000, rho, sheds=sheds)
    for trace in ("sharegpt", "arena")
    for sheds in (False, True)
    for rho in (0.9, 1.05, 1.3)
)
CASE_SETS: Final = {"azure": CASES, "held_out": HELD_OUT}
FILES: Final = {
    "conv": "azure2023/conv_dev",
    "code": "azure2023/code_dev",
    "sharegpt": "sharegpt_val_10k_llama2, servegen m-small",
    "arena": "vtc_real_trace",
}


def policy(name: str, *, sheds: bool) -> Policy:
    """Return a policy by its name."""
    if name == DIRECT:
        return Policy(name)
    ordering, limit = LIMITS[name]
    return Policy(
        name, lambda engine: (ordering(), limit(engine), DeadlineShedding(by_objective=True) if sheds else None)
    )


@cache
def windows(folder: Path, trace: str) -> list[list[Row]]:
    """Return the windows of a trace."""
    traces = folder / "traces"
    if trace == "sharegpt":
        return sharegpt(traces)
    if trace == "arena":
        once = arena(traces / "lmsys_arena/vtc_real_trace.csv")
        span_s = once[-1].arrival_s
        return [[Row(ask.arrival_s + turn * span_s, ask.prompt, ask.output) for turn in range(ROUNDS) for ask in once]]
    rows = azure(traces / f"azure2023/{trace}_dev.csv")
    if trace == "code":
        return [rows]
    return [rows[_EVERY * number : _EVERY * number + _LENGTH] for number in range(WINDOWS)]


def sharegpt(traces: Path) -> list[list[Row]]:
    """Return three windows: lengths in the order of the file, arrivals drawn with a seed each."""
    with (traces / "sharegpt/sharegpt_val_10k_llama2.csv").open(encoding="utf-8", newline="") as file:
        lengths = [(int(line["num_prefill_tokens"]), int(line["num_decode_tokens"])) for line in csv.DictReader(file)]
    table = traces / "servegen/m-small_client_windows.csv.gz"
    told = read_rows(table)
    count = len(lengths) // 3
    made = list[list[Row]]()
    for number in range(3):
        drawn = draw_requests(table, told, (0, count), None, number).rows
        mine = lengths[number * count : (number + 1) * count]
        made.append(
            [Row(row.at_s, max(1, prompt), max(1, output)) for row, (prompt, output) in zip(drawn, mine, strict=True)]
        )
    return made


def run(folder: Path, case: Case, window: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row a policy."""
    parts = windows(folder, case.trace)
    sigma = spread(tuple(row.output for part in parts for row in part), TAU)
    rows = at_load(parts[window], case.rho, saturation(parts[window], case.profile))
    seed = 2 * window + (1_001 if case in HELD_OUT else 1)
    made: list[dict[str, Any]] = []
    for name in (DIRECT, *names):
        said = play(rows, case.profile, policy(name, sheds=case.sheds), sigma, seed=seed)
        made.append(
            {
                "case": case.name,
                "trace": FILES[case.trace],
                "rows": _numbers(case, window, len(rows)),
                "window": window,
                "profile": case.profile.name,
                "rho": case.rho,
                "shedding": case.sheds,
                "policy": name,
                "tenant": "all",
                **{key: round(value, 5) for key, value in asdict(said).items()},
            }
        )
    return made


def _numbers(case: Case, window: int, count: int) -> str:
    start = window * (_EVERY if case in CASES else count)
    return f"{start}:{start + count}"


@dataclass(frozen=True, slots=True)
class Summary:
    """A policy in a case over all windows: its figures, and beside those of `direct`."""

    figures: list[Figures]
    direct: list[Figures]

    def goodput(self) -> list[float]:
        """Goodput, a value a window."""
        return [one.goodput for one in self.figures]

    def gain(self) -> list[float]:
        """Goodput less that of direct."""
        return [one.goodput - other.goodput for one, other in zip(self.figures, self.direct, strict=True)]

    def mean(self) -> list[float]:
        """Mean latency over that of direct."""
        return [one.mean_e2e_s / other.mean_e2e_s for one, other in zip(self.figures, self.direct, strict=True)]

    def served(self) -> list[float]:
        """Tokens a second over those of direct."""
        return [one.tokens_per_s / other.tokens_per_s for one, other in zip(self.figures, self.direct, strict=True)]

    def longest(self) -> float:
        """The longest time to a first token in any window."""
        return max(one.max_ttft_s for one in self.figures)


def summaries(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Summary]:
    """Return one a case and policy."""
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for row in rows:
        figures = Figures(**{field: row[field] for field in Figures.__slots__})
        found[row["case"], row["policy"]].append(figures)
    return {key: Summary(figures, found[key[0], DIRECT]) for key, figures in found.items()}


def verdicts(found: dict[tuple[str, str], Summary]) -> list[tuple[str, float, float, float, bool]]:
    """Return for each claim about the shipped policy: what, the value, must, aim, whether more is better."""
    claims: list[tuple[str, float, float, float, bool]] = []
    for case in CASES:
        one = found.get((case.name, SHIPPED))
        if one is None:
            continue
        name, rho = case.name, case.rho
        if case.trace == "code":
            claims.append((f"{name}: goodput", median(one.goodput()), 0.31, 0.45, True))
        elif case.profile is RTX4090:
            claims.append((f"{name}: goodput, median", median(one.goodput()), 0.78, 0.85, True))
        elif case.sheds:
            must, aim = {0.7: (0.95, 0.97), 0.9: (0.86, 0.91), 1.05: (0.77, 0.83), 1.3: (0.62, 0.68)}[rho]
            claims.append((f"{name}: goodput, median", median(one.goodput()), must, aim, True))
            claims.append((f"{name}: tokens a second / direct, median", median(one.served()), 0.8, 0.9, True))
        elif rho < 0.9:
            claims.append((f"{name}: mean / direct, median", median(one.mean()), 1.03, 1.01, False))
            claims.append((f"{name}: mean / direct, worst", max(one.mean()), 1.08, 1.01, False))
            claims.append((f"{name}: goodput - direct, median", median(one.gain()), -0.005, 0.0, True))
            claims.append((f"{name}: goodput - direct, worst", min(one.gain()), -0.02, 0.0, True))
        else:
            must, aim = {0.9: (0.78, 0.85), 1.05: (0.68, 0.76)}[rho]
            claims.append((f"{name}: goodput, median", median(one.goodput()), must, aim, True))
            claims.append((f"{name}: longest TTFT, s", one.longest(), 180.0, 120.0, False))
            if rho == 0.9:
                claims.append((f"{name}: mean / direct, median", median(one.mean()), 1.15, 1.05, False))
    return claims


def _reached(value: float, bound: float, *, more: bool) -> bool:
    return value >= bound - 1e-9 if more else value <= bound + 1e-9


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Print the policies of each case, then what was to be shown."""
    found = summaries(rows)
    title = "goodput over the windows: median (worst); latency and tokens over direct's"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("policy", "goodput", "mean", "tokens", "refused", "max TTFT s"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    last = ""
    for (case, name), one in found.items():
        if case != last:
            table.add_row(f"[bold]{case}")
            last = case
        refused = median(figures.rejected / figures.n for figures in one.figures)
        table.add_row(
            *(f"  {name}", f"{median(one.goodput()):.3f} ({min(one.goodput()):.3f})", f"{median(one.mean()):.3f}"),
            *(f"{median(one.served()):.3f}", f"{refused:.3f}", f"{one.longest():.0f}"),
        )
    console.print(table)
    verdict = Table(title=f"{SHIPPED}, as shipped", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("claim", "measured", "must", "aim", "verdict"):
        verdict.add_column(name, overflow="fold", justify="left" if name == "claim" else "right")
    for name, value, must, aim, more in verdicts(found):
        said = (
            "aim" if _reached(value, aim, more=more) else "must" if _reached(value, must, more=more) else "NOT REACHED"
        )
        verdict.add_row(name, f"{value:.3f}", f"{must:g}", f"{aim:g}", said)
    if verdict.row_count:
        console.print(verdict)


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw goodput over the load, with and without shedding."""
    from matplotlib import pyplot as plt

    found = summaries(rows)
    _, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, sheds in zip(axes, (False, True), strict=True):
        cases = [case for case in CASES if case.trace == "conv" and case.profile is PRO6000 and case.sheds is sheds]
        for name in (DIRECT, *LIMITS):
            points = [
                (case.rho, median(found[case.name, name].goodput())) for case in cases if (case.name, name) in found
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.set(title="with shedding" if sheds else "without shedding", xlabel="load", ylabel="goodput, median window")
    axes[1].legend(fontsize=7)
    plt.tight_layout()
    plt.savefig(path, dpi=120)


def main() -> None:
    """Run the cases, print the tables, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--cases", choices=list(CASE_SETS), default="azure")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="only the first so many")
    parser.add_argument(
        "--policy", action="append", choices=list(LIMITS), help="only these, and direct; may be repeated"
    )
    args = parser.parse_args()
    data = os.environ.get("FOREBAY_DATA")
    if not data:
        parser.error("set FOREBAY_DATA to the folder with traces/azure2023")
    tasks = [
        (Path(data), case, window, tuple(args.policy or LIMITS))
        for case in CASE_SETS[args.cases]
        for window in range(min(len(windows(Path(data), case.trace)), args.windows))
    ]
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = [row for part in pool.map(run, *zip(*tasks, strict=True)) for row in part]
    show(Console(), rows)
    if args.plot:
        draw(args.plot, rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/scheduling.py", rows))


if __name__ == "__main__":
    main()
