"""Batch formers against each other: mean and 99th percentile of latency, arrivals simulated on measured latency curves.

Engines: see _batching_engines.py. Lengths: ShareGPT; arrivals: Poisson, the Azure code trace scaled to the rate, and volleys (twelve at
once, a hundredth of a single run apart). Load is relative to the best fixed size with members as they come. Predicted answers are noisy (tau
about .44) or the true ones. The first 300 requests, in which the former learns, are not counted. Other halves of the traces, and other seeds, than those
with which `curve` was tuned (``--tune``). ``--real`` runs the embedder itself behind
the asyncio driver.

    make bench NAME=batching ARGS='--json batching.json'
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import math
import os
import random
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from _batching_engines import CPU_BF16, CPU_BITNET, LLAMA_4090, MINILM_FILE, MiniLM, Work
from _batching_peers import Timed
from rich.console import Console
from rich.table import Table

from forebay.adapters.embedders import minilm
from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.admission.batcher import Batches
from forebay.middleware.admission.tickets import Ticket
from forebay.policies.batching.former import CurveFormer
from forebay.policies.batching.plan import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from _batching_engines import BatchEngine

    from forebay.middleware.admission.protocols import BatchFormer

Row = TypeVar("Row")
REQUESTS: Final = 1500
LEARNING: Final = 300
LOADS: Final = (0.3, 0.7, 0.95)
TAU_44: Final = 0.64
"""Correlation of log lengths at which Kendall's tau is .44."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Where a run's numbers come from: the half of the traces and the seed. Nothing was tuned on the second half's seed."""

    folder: Path
    tune: bool

    @property
    def seed(self) -> int:
        return 100 if self.tune else 400

    def half(self, rows: list[Row]) -> list[Row]:
        middle = len(rows) // 2
        return rows[:middle] if self.tune else rows[middle:]


def works(engine: BatchEngine, draw: Draw) -> list[Work]:
    with (draw.folder / "sharegpt" / "sharegpt_val_10k_llama2.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            (int(float(row["num_prefill_tokens"])), int(float(row["num_decode_tokens"])))
            for row in csv.DictReader(file)
        ]
    drawn = random.Random(draw.seed + 3).choices(draw.half(rows), k=REQUESTS)
    if engine.name == "minilm":
        return [Work(min(prompt + 2, minilm.MAX_TOKENS), 0) for prompt, _ in drawn]
    return [Work(prompt, max(1, output)) for prompt, output in drawn]


def predicted(asked: Sequence[Work], correlation: float, draw: Draw) -> list[float]:
    if not any(work.output for work in asked):
        return [0.0] * len(asked)
    chance = random.Random(draw.seed + 4)
    logs = [math.log(work.output) for work in asked]
    mean, spread = fmean(logs), pstdev(logs)
    rest = math.sqrt(1 - correlation**2)
    seen = [correlation * (one - mean) / spread + rest * chance.gauss(0, 1) for one in logs]
    return [math.exp(mean + correlation * spread * one) for one in seen]


def arrivals(kind: str, rate: float, alone_s: float, draw: Draw) -> list[float]:
    chance = random.Random(draw.seed + 5)
    times: list[float] = []
    at = 0.0
    if kind == "poisson":
        for _ in range(REQUESTS):
            at += chance.expovariate(rate)
            times.append(at)
        return times
    if kind == "volleys":
        while len(times) < REQUESTS:
            at += chance.expovariate(rate / 12)
            times += [at + place * alone_s / 100 for place in range(12)]
        return sorted(times)[:REQUESTS]
    with (draw.folder / "azure2023" / "code_dev.csv").open(encoding="utf-8", newline="") as file:
        stamps = draw.half([datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in csv.DictReader(file)])
    first = chance.randrange(len(stamps) - REQUESTS)
    part = stamps[first : first + REQUESTS]
    scale = REQUESTS / rate / (part[-1] - part[0])
    return [(stamp - part[0]) * scale for stamp in part]


def capacity(engine: BatchEngine, asked: Sequence[Work]) -> float:
    rates: list[float] = []
    for size in (1, 2, 4, 8, 16, 32):
        if size <= engine.max_batch:
            batches = [asked[at : at + size] for at in range(0, len(asked), size)]
            rates.append(len(asked) / sum(map(engine.seconds, batches)))
    return max(rates)


def simulate(
    engine: BatchEngine, former: BatchFormer, asked: Sequence[Work], outputs: Sequence[float], times: Sequence[float]
) -> dict[str, float]:
    chance = random.Random(6)
    latency = [0.0] * len(asked)
    now_s = decided_s = 0.0
    come = batches = 0
    while come < len(asked) or len(former):
        if not len(former):
            now_s = max(now_s, times[come])
        while come < len(asked) and times[come] <= now_s:
            former.push(
                Ticket(
                    str(come),
                    "t",
                    times[come],
                    input_tokens=asked[come].prompt,
                    output_tokens=outputs[come],
                )
            )
            come += 1
        began = time.perf_counter()
        formed = former.form(now_s)
        decided_s += time.perf_counter() - began
        if not formed.members:
            now_s = max(now_s + 1e-9, min(formed.ask_again_s, times[come] if come < len(asked) else math.inf))
            continue
        took = engine.seconds([asked[int(each.id)] for each in formed.members]) * math.exp(chance.gauss(0, 0.05))
        now_s += took
        batches += 1
        known = [replace(each, output_tokens=float(asked[int(each.id)].output)) for each in formed.members]
        began = time.perf_counter()
        former.measured(known, took)
        decided_s += time.perf_counter() - began
        for each in formed.members:
            latency[int(each.id)] = now_s - each.enqueued_s
    counted = sorted(latency[LEARNING:])
    return {
        "mean_s": fmean(counted),
        "p99_s": counted[int(0.99 * len(counted))],
        "mean_size": len(asked) / batches,
        "us_per_request": 1e6 * decided_s / len(asked),
    }


def contenders(engine: BatchEngine, alone_s: float) -> Mapping[str, Callable[[], BatchFormer]]:
    def curve(*, window: int = 64, like: bool = True) -> Callable[[], BatchFormer]:
        return lambda: CurveFormer(Budget(size=engine.max_batch), window=window, like=like)

    return {
        "one by one": lambda: Timed(1, 0.0),
        "all who wait": lambda: Timed(engine.max_batch, 0.0),
        "fixed timeout": lambda: Timed(engine.max_batch, 0.3 * alone_s),
        "curve": curve(),
        "curve, window 32": curve(window=32),
        "without lengths": curve(like=False),
    }


def rows_of(engine: BatchEngine, correlation: float, draw: Draw) -> list[dict[str, Any]]:
    asked = works(engine, draw)
    outputs = predicted(asked, correlation, draw)
    rate = capacity(engine, asked)
    alone_s = fmean(engine.seconds([work]) for work in asked)
    return [
        {
            "engine": engine.name,
            "lengths": "known" if correlation == 1 else "predicted",
            "arrivals": kind,
            "rho": rho,
            "policy": name,
            **simulate(engine, make(), asked, outputs, times),
        }
        for kind in ("poisson", "azure code", "volleys")
        for rho in LOADS
        for times in [arrivals(kind, rho * rate, alone_s, draw)]
        for name, make in contenders(engine, alone_s).items()
    ]


def measure() -> None:
    """Measure the embedder's curve anew: texts of equal length, the median of six."""
    model = minilm._Model(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    cells = [(size, tokens) for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) for tokens in (8, 16, 32, 64, 128, 256)]
    took: dict[tuple[int, int], list[float]] = {cell: [] for cell in cells}
    for _ in range(6):
        for size, tokens in cells:
            texts = ["time " * (tokens - 2)] * size
            began = time.perf_counter()
            model.embed(texts)
            took[size, tokens].append(1e3 * (time.perf_counter() - began))
    rows = [[*cell, round(median(seen), 3)] for cell, seen in took.items()]
    head = {"engine": minilm.MODEL_ID, "columns": ["size", "tokens", "median_ms"], "rows": rows}
    write_json(MINILM_FILE, head)


async def real(draw: Draw, requests: int = 500) -> list[dict[str, Any]]:
    """Run the embedder behind the driver at nine tenths of its capacity, each former on the same arrivals."""
    engine = MiniLM()
    asked = works(engine, draw)[:requests]
    times = arrivals("poisson", 0.9 * capacity(engine, asked), 0.02, draw)[:requests]
    model = minilm._Model(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    loop = asyncio.get_running_loop()

    async def run(texts: Sequence[str]) -> list[Any]:
        return cast("list[Any]", await loop.run_in_executor(None, model.embed, texts))

    rows: list[dict[str, Any]] = []
    for name, make in contenders(engine, 0.025).items():
        batches = Batches[str, Any](make(), run)
        latency: list[float] = []
        zero_s = time.monotonic()

        async def one(
            place: int, batches: Batches[str, Any] = batches, zero_s: float = zero_s, seen: list[float] = latency
        ) -> None:
            await asyncio.sleep(max(0.0, zero_s + times[place] - time.monotonic()))
            began = time.monotonic()
            prompt = asked[place].prompt
            await batches.submit(Ticket(str(place), "t", began, input_tokens=prompt), "time " * (prompt - 2))
            seen.append(time.monotonic() - began)

        await asyncio.gather(*(one(place) for place in range(requests)))
        await batches.stop()
        counted = sorted(latency)
        rows.append(
            {
                "engine": "minilm, real",
                "lengths": "known",
                "arrivals": "poisson",
                "rho": 0.9,
                "policy": name,
                "mean_s": fmean(counted),
                "p99_s": counted[int(0.99 * len(counted))],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the embedder's curve anew, and stop")
    parser.add_argument("--tune", action="store_true", help="the first half of the traces, and another seed")
    parser.add_argument("--real", action="store_true", help="run the embedder itself, too")
    parser.add_argument("--json", type=Path, metavar="FILE", dest="json_file")
    options = parser.parse_args()
    if options.measure:
        measure()
        return
    if not os.environ.get("FOREBAY_DATA"):
        parser.error("set FOREBAY_DATA to the folder that holds traces")
    draw = Draw(Path(os.environ["FOREBAY_DATA"]) / "traces", options.tune)
    rows = rows_of(MiniLM(), 1.0, draw)
    for engine in (LLAMA_4090, CPU_BF16, CPU_BITNET):
        for correlation in (TAU_44, 1.0):
            rows += rows_of(engine, correlation, draw)
    if options.real:
        rows += asyncio.run(real(draw))
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("engine", "lengths", "arrivals", "rho", "policy", "mean_s", "p99_s", "mean_size", "us_per_request")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        cells = (row.get(column, "") for column in columns)
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
    Console(width=130).print(table)
    if options.json_file is not None:
        write_json(options.json_file, as_json("batching", rows))


if __name__ == "__main__":
    main()
