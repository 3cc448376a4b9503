"""Which of several vLLM servers takes a request: forebay's placement beside LiteLLM's simple-shuffle and least-busy.

Real: two servers with SmolLM2-135M, a core each, behind real LiteLLM proxies, one a policy. Groups of requests share a system
prompt of about 500 tokens; a server's KV cache holds about half of them. The prefix hit rate is the servers' own, TTFT the
client's. Policies take turns, each block has words that nobody has read before; medians over `--reps` blocks. Constructed:
prompts that share little gain little.

    make bench NAME=replicas ARGS='--model FOLDER --json replicas.json'   # needs vLLM in this environment

Simulated: four engines (RTX PRO 6000, Llama-3.1-8B) with prefix caches, on Mooncake's conversation trace, on Azure's (nothing is
shared) and on constructed traffic, at loads over what they do round robin. Beside LiteLLM's: the longest prefix within
thresholds (SGLang's router), weighted scores (llm-d's default), and what ships without one of its parts.

    make bench NAME=replicas ARGS='--simulated --json replicas.json --plot replicas.png'
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _replicas_real import Options
from _replicas_real import measure as measure_real
from _replicas_simulated import LOADS, POLICIES, measure, scenes
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

FIGURES: Final = {
    "prefix_hit": "hits",
    "mean_ttft_s": "mean TTFT",
    "p50_ttft_s": "p50",
    "p99_ttft_s": "p99",
    "mean_e2e_s": "mean E2E",
    "most_over_mean": "fullest",
}
BASE: Final = "simple-shuffle"


def simulated(console: Console, folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Run the scenes."""
    rows: list[dict[str, Any]] = []
    for scene in scenes(folder):
        saturation = len(scene.jobs) / measure(scene, "round robin", None)["served_s"]
        for rho in LOADS:
            made = [measure(scene, name, rho, saturation) for name in names]
            rows += made
            what = " (constructed)" if scene.made else ""
            console.print(_table(f"{scene.name}{what}, load {rho:g}", {row["policy"]: [row] for row in made}))
    return rows


def real(console: Console, options: Options) -> list[dict[str, Any]]:
    """Run the servers."""
    rows: list[dict[str, Any]] = []
    by_policy: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for row in measure_real(options, Path(folder)):
            rows.append(row)
            by_policy[row["policy"]].append(row)
            console.print(row)
    console.print(_table(f"real, medians of {options.reps} blocks of {options.requests}", by_policy))
    table = Table(title=f"over {BASE}, median of the ratios in each repetition", title_justify="left", box=None)
    for name in ("policy", "mean TTFT", "p99", "mean E2E"):
        table.add_column(name)
    for name, mine in by_policy.items():
        ratios = [
            statistics.median(
                one[key] / base[key] for one in mine for base in by_policy[BASE] if base["rep"] == one["rep"]
            )
            for key in ("mean_ttft_s", "p99_ttft_s", "mean_e2e_s")
        ]
        table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    return rows


def _table(title: str, by_policy: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("policy", *FIGURES.values()):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for name, rows in by_policy.items():
        table.add_row(name, *(f"{statistics.median(row[key] for row in rows):.3f}" for key in FIGURES))
    return table


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw mean TTFT over the load, a picture a scene."""
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(row["scene"] for row in rows))
    _, axes = plt.subplots(2, -(-len(names) // 2), figsize=(14, 7), squeeze=False)
    for axis, scene in zip(axes.flat, names, strict=False):
        for policy in dict.fromkeys(row["policy"] for row in rows):
            points = [
                (row["rho"], row["mean_ttft_s"]) for row in rows if (row["scene"], row["policy"]) == (scene, policy)
            ]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", label=policy)
        axis.set(title=scene, xlabel="load", ylabel="mean TTFT, s", yscale="log")
    axes.flat[0].legend(fontsize=6)
    plt.tight_layout()
    plt.savefig(path, dpi=120)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOREBAY_DATA", "data")) / "traces")
    parser.add_argument("--policy", action="append", choices=list(POLICIES), help="only these; may be repeated")
    parser.add_argument("--model", type=Path, help="a folder that vLLM loads")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--requests", type=int, default=48, help="of a block")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="of the simulation")
    args = parser.parse_args()
    console = Console()
    if args.simulated:
        rows = simulated(console, args.data, args.policy or list(POLICIES))
        if args.plot:
            draw(args.plot, rows)
    elif args.model is None:
        parser.error("give --model FOLDER (python -m tests.vllm.model makes one), or --simulated")
    else:
        options = Options(args.model.resolve(), load=args.load, requests=args.requests, reps=args.reps)
        rows = real(console, options)
    if args.json:
        write_json(args.json, as_json("benchmarks/replicas.py", rows))


if __name__ == "__main__":
    main()
