"""A real vLLM with forebay in front of it, against the same vLLM alone: first come, first served.

One engine in this process, SmolLM2-135M on the CPU with four slots; both are asked the same, in turn, and each time with an empty
prefix cache. All figures are ratios, forebay's over the bare engine's: the median of the repetitions, the least and the greatest.
forebay is as ``forebay vllm serve`` ships it, but for what a case names. Cases a to c were made up for what forebay is to be good at:

a   12 questions of one word and 6 stories at once, with their natural ends; the cache is off. The length predictor has seen 200
    other such requests. ``oracle``: it is told the lengths; ``shortest first``: that ordering instead of the default
b   12 equal requests at once, 48 tokens each
c   6 groups of 4 prompts that begin with the same 550 tokens, in turn, ``prefix`` as the ordering: where the engine's prefix cache
    holds three of the beginnings (two slots), and where it holds all
d   8 clients that ask distinct things of one size, as fast as they are answered: here forebay cannot help. ``exact hits only``:
    nothing is embedded; ``one ahead``: with that, a fixed limit of one more than the engine has slots, which the engine takes
    without waiting for forebay
e   a part of the Azure conversation trace's tokens at its arrivals, scaled in time to `--rho` of what this engine can do: both get
    the same requests, in four turns; 95% intervals by bootstrap over requests. ``good`` is within forebay's default objective

    make bench NAME=vllm_front ARGS='--cases a,b,c,d --reps 5 --json vllm_front.json'
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import _vllm_asks as asks
from _vllm_engine import MODEL, SLOTS, Engine, engine, fronted
from _vllm_oracle import Oracle
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from _vllm_engine import Ask, Seen

    Ask_all = Callable[[Any, Sequence[Ask]], Awaitable[list[Seen]]]

OFF: Final = {"exact": "off", "semantic": "off"}
TIGHT_BLOCKS: Final = 20
SEGMENTS: Final = 4
RESAMPLED: Final = 2_000
OBJECTIVE: Final = (5.0, 0.2)
"""First token, and each after it: forebay's default for the class `standard`."""
MUSTS: Final[Mapping[tuple[str, str], tuple[str, float]]] = {
    ("a", "mean"): ("<=", 0.90),
    ("a", "short"): ("<=", 0.55),
    ("a", "long"): ("<=", 1.25),
    ("a", "makespan"): ("<=", 1.15),
    ("a, oracle", "mean"): ("<=", 0.78),
    ("b", "makespan"): ("<=", 1 / 2.4),
    ("c, tight", "makespan"): ("<=", 0.5),
    ("c, ample", "makespan"): ("<=", 1.02),
    ("d", "throughput"): (">=", 0.98),
    ("d", "ttft"): ("<=", 1.02),
}


class Front:
    """Runs the cases on one engine after another."""

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._arguments = arguments
        self._console = console
        self.rows: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Run the cases that were asked for."""
        cases: list[str] = self._arguments.cases
        if set("abcde") & set(cases):
            async with engine(self._arguments.model) as running:
                await running.burst(running.bare, asks.uniform(99, 8))  # what is computed first is slow
                for name in cases:
                    await getattr(self, f"_{name}")(running)
        if "c" in cases:
            async with engine(self._arguments.model, num_gpu_blocks_override=TIGHT_BLOCKS, max_num_seqs=2) as running:
                await running.burst(running.bare, asks.uniform(99, 8))
                await self._c(running, "tight")

    async def _a(self, running: Engine) -> None:
        settings = {"cache": OFF, "store": {"type": "memory"}}
        async with AsyncExitStack() as stack:
            sides = {"bare": running.bare}
            for name, more, plugins in (
                ("a", {}, ()),
                ("a, shortest first", {"ordering": {"type": "shortest_first"}}, ()),
                ("a, oracle", {"predictors": {"length": "off", "work": "off", "oracle": {}}}, (Oracle(),)),
                (
                    "a, oracle, shortest first",
                    {
                        "predictors": {"length": "off", "work": "off", "oracle": {}},
                        "ordering": {"type": "shortest_first"},
                    },
                    (Oracle(),),
                ),
            ):
                state = await stack.enter_async_context(self._warmed(running, settings))
                front = fronted(running, {**settings, **more}, state=state, plugins=plugins)
                sides[name] = await stack.enter_async_context(front)
            lengths: dict[str, int] = {}  # at temperature 0 they are nearly the same each time
            for rep in range(self._arguments.reps):
                burst = asks.mixed(rep)[1]
                seen = await running.burst(running.bare, burst)
                lengths |= {ask.text: one.tokens for ask, one in zip(burst, seen, strict=True)}

            def told(rep: int) -> list[Ask]:
                return [replace(ask, told=lengths[ask.text]) for ask in asks.mixed(rep)[1]]

            await self._compare(sides, told, running.burst)

    async def _b(self, running: Engine) -> None:
        async with fronted(running, {}) as wrapped:
            await self._compare({"bare": running.bare, "b": wrapped}, asks.twins, running.burst)

    async def _c(self, running: Engine, kv: str = "ample") -> None:
        async with (
            fronted(running, {"ordering": {"type": "prefix"}}) as by_prefix,
            fronted(running, {}) as shipped,
        ):
            sides = {"bare": running.bare, f"c, {kv}": by_prefix, f"c, {kv}, default ordering": shipped}
            await self._compare(sides, asks.groups, running.burst)

    async def _d(self, running: Engine) -> None:
        async def ask_all(side: Any, given: Sequence[Ask]) -> list[Seen]:
            return await running.closed(side, given, 2 * SLOTS)

        one_more = {"limit": {"type": "fixed", "max_inflight": SLOTS + 1}}
        async with (
            fronted(running, {}) as wrapped,
            fronted(running, {"cache": {"semantic": "off"}}) as exact,
            fronted(running, {"cache": {"semantic": "off"}, **one_more}) as ahead,
        ):
            count: int = self._arguments.uniform
            sides = {"bare": running.bare, "d": wrapped, "d, exact hits only": exact, "d, and one ahead": ahead}
            await self._compare(sides, lambda rep: asks.uniform(rep, count), ask_all)

    async def _e(self, running: Engine) -> None:
        arguments = self._arguments
        path = Path(os.environ["FOREBAY_DATA"]) / "traces" / "azure2023" / "conv_dev.csv"
        given = list(asks.azure(path, *arguments.scale))
        seen = await running.burst(running.bare, given[:48])
        capacity = len(seen) / (max(one.ended_s for one in seen) - min(one.began_s for one in seen))
        count = round(60 * arguments.minutes * arguments.rho * capacity)
        given = given[48 : 48 + count]
        stretch = 60 * arguments.minutes / (given[-1].at_s - given[0].at_s)
        given = [replace(ask, at_s=ask.at_s * stretch) for ask in given]
        part = -(-len(given) // SEGMENTS)
        both: dict[str, list[Seen]] = {"bare": [], "e": []}
        async with fronted(running, {}) as wrapped:
            for at in range(SEGMENTS):
                order = (("bare", running.bare), ("e", wrapped))
                for name, side in order if at % 2 == 0 else order[::-1]:
                    both[name] += await running.opened(side, given[part * at : part * (at + 1)])
        self.rows += [
            {"case": "e", "figure": name, "n": len(given), "rate": round(arguments.rho * capacity, 3), **row}
            for name, row in _intervals(both["bare"], both["e"]).items()
        ]

    @asynccontextmanager
    async def _warmed(self, running: Engine, settings: Mapping[str, Any]) -> AsyncGenerator[Path]:
        """Yield a copy of the state of a forebay that has seen 200 requests; they are asked once, and kept in `--state`."""
        kept: Path = self._arguments.state
        if not await asyncio.to_thread(kept.is_dir):
            with tempfile.TemporaryDirectory() as folder:
                async with fronted(running, settings, state=Path(folder)) as wrapped:
                    seen = await running.closed(wrapped, asks.mixed(0)[0], 2 * SLOTS)
                for kind in ("short", "long"):
                    tokens = [one.tokens for one in seen if one.kind == kind]
                    self._console.print(f"{kind}: {statistics.quantiles(tokens, n=4)} tokens, at most {max(tokens)}")
                shutil.copytree(folder, kept)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            yield Path(folder)

    async def _compare(self, sides: Mapping[str, Any], make: Callable[[int], list[Ask]], ask_all: Ask_all) -> None:
        """Ask each side the same, in another order each time, and add the ratios to the bare engine."""
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for rep in range(self._arguments.reps):
            names = list(sides)
            names = names[rep % len(names) :] + names[: rep % len(names)]
            for name in names:
                found[name].append(_figures(await ask_all(sides[name], make(rep))))
        for name in sides:
            if name == "bare":
                continue
            for figure in found[name][0]:
                ratios = [one[figure] / bare[figure] for one, bare in zip(found[name], found["bare"], strict=True)]
                bare_s = statistics.median(one[figure] for one in found["bare"])
                row = {"case": name, "figure": figure, "n": len(ratios), "bare": round(bare_s, 4)}
                row |= {"ratio": round(statistics.median(ratios), 3), "low": round(min(ratios), 3)}
                row |= {"high": round(max(ratios), 3), "made_up": name[0] in "abc"}
                self.rows.append(row)
                self._console.print(row)


def _figures(seen: Sequence[Seen]) -> dict[str, float]:
    makespan = max(one.ended_s for one in seen) - min(one.began_s for one in seen)
    figures = {"mean": statistics.fmean(one.total_s for one in seen)}
    kinds = sorted({one.kind for one in seen})
    for kind in kinds if len(kinds) > 1 else ():
        figures[kind] = statistics.fmean(one.total_s for one in seen if one.kind == kind)
        figures[f"{kind} steps"] = statistics.fmean(one.steps for one in seen if one.kind == kind)
    figures |= {"mean steps": statistics.fmean(one.steps for one in seen)}
    figures |= {"steps": max(one.steps for one in seen)}
    figures |= {"makespan": makespan, "ttft": statistics.fmean(one.first_s for one in seen)}
    return figures | {"throughput": sum(one.tokens for one in seen) / makespan}


def _intervals(bare: Sequence[Seen], front: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Return each figure of both, and 95% intervals of what lies between, from resampled pairs of equal requests."""
    draw = random.Random(7)
    chosen = [draw.choices(range(len(bare)), k=len(bare)) for _ in range(RESAMPLED)]
    figures: dict[str, Callable[[Seen], float]] = {
        "ttft": lambda one: one.first_s,
        "mean": lambda one: one.total_s,
        "good": lambda one: float(not one.refused and one.first_s <= OBJECTIVE[0] and one.tpot_s <= OBJECTIVE[1]),
    }
    rows: dict[str, dict[str, float]] = {}
    for name, of in figures.items():
        left, right = [of(one) for one in bare], [of(one) for one in front]
        means = [(sum(left[at] for at in some), sum(right[at] for at in some)) for some in chosen]
        ratios = sorted(b / a if a else 1.0 for a, b in means)
        rows[name] = {
            "bare": round(statistics.fmean(left), 4),
            "forebay": round(statistics.fmean(right), 4),
            "ratio": round(sum(right) / sum(left), 3) if sum(left) else 1.0,
            "low": round(ratios[RESAMPLED // 40], 3),
            "high": round(ratios[-RESAMPLED // 40], 3),
        }
    return rows


def _show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="Ratios to the bare engine", box=None, padding=(0, 2, 0, 0))
    for name in ("case", "figure", "ratio", "from", "to", "bare", "must"):
        table.add_column(name, justify="left" if name in {"case", "figure"} else "right")
    for row in rows:
        must = MUSTS.get((row["case"], row["figure"]))
        bound = "" if must is None else f"{must[0]} {must[1]:.2f}"
        cells = (row[name] for name in ("case", "figure", "ratio", "low", "high", "bare"))
        table.add_row(*map(str, cells), bound)
    console.print(table)


def main() -> None:
    """Run and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list("abcd"))
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument(
        "--state", type=Path, default=Path(tempfile.gettempdir()) / "forebay-vllm-front", help="of case a"
    )
    parser.add_argument("--uniform", type=int, default=48, help="requests of case d")
    parser.add_argument("--minutes", type=float, default=10.0, help="of case e, for each side")
    parser.add_argument("--rho", type=float, default=0.9, help="of case e: arrivals over what the engine can do")
    parser.add_argument(
        "--scale", type=float, nargs=2, default=(0.25, 0.25), help="of case e: prompt and output tokens"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    front = Front(arguments, console)
    asyncio.run(front.run())
    _show(console, front.rows)
    if arguments.json is not None:
        write_json(arguments.json, as_json("benchmarks/vllm_front.py", front.rows))


if __name__ == "__main__":
    main()
