"""How much CPU the wrapper of a vLLM engine takes, on a fake engine that answers with one token.

Prompts are token ids, of 20 and of 500, alone or with the text that they were made of. Request analysis has a budget of its own: the
cases without it have no classifiers, predictors and stream analyzers; all else is as it ships, but that answers are kept in memory.
`first` is CPU of the calling thread until the first output, `settle` what comes after it, when nobody waits any more; in both, what
the bare engine takes is subtracted. A row is the median of its requests, and for `first` the fifth percentile, too, which other
processes disturb less. Cases are interleaved.

    make bench NAME=vllm_overhead ARGS='--json vllm_overhead.json'
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.adapters.vllm.engine import ForebayEngine
from forebay.adapters.vllm.fake import FakeEngine, fake_names
from forebay.adapters.vllm.fake_types import RequestOutputKind, SamplingParams
from forebay.testing import started

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.middleware.runtime import Runtime

SIZES: Final = (20, 500)
BUDGETS_MS: Final = {"miss": 0.3, "hit": 0.5}
"""Without request analysis."""
SETTINGS: Final[Mapping[str, Any]] = {"limit": {"type": "goodput", "max_inflight": 4, "kv_tokens": 1_000_000}}
NO_ANALYSIS: Final = {
    "classifiers": {"profile": "off", "priority": "off", "volatility": "off"},
    "predictors": dict.fromkeys(("fingerprint", "neighbours", "length", "work", "difficulty"), "off"),
    "stream": {"pattern": "off", "forecast": "off"},
}
KINDS: Final = ("bare", "miss", "hit")
WARM: Final = 320
"""The first 300 answers are learned one by one."""
WORDS: Final = "What would you take along to the mountains when the weather may turn, and why? ".split()


@dataclass(slots=True)
class Case:
    """Prompts of one size, and the CPU seconds that each of them took: until the first output, and after it."""

    analysis: bool
    tokens: int
    text: bool = False
    first: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    after: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def prompt(self, number: int) -> dict[str, Any]:
        """Return a prompt unlike all others."""
        made: dict[str, Any] = {"type": "token", "prompt_token_ids": [1_000 + number, *range(self.tokens - 1)]}
        if self.text:
            said = (WORDS[(number + at) % len(WORDS)] for at in range(max(1, round(self.tokens / 1.3) - 1)))
            made["prompt"] = f"{number} {' '.join(said)}"
        return made

    def rows(self) -> list[dict[str, Any]]:
        """Return what the wrapper takes beyond the bare engine."""
        bare = 1e3 * statistics.median(self.first["bare"]), 1e3 * statistics.median(self.after["bare"])
        rows: list[dict[str, Any]] = []
        for kind in KINDS[1:]:
            first = 1e3 * statistics.median(self.first[kind]) - bare[0]
            settle = 1e3 * statistics.median(self.after[kind]) - bare[1]
            least = 1e3 * sorted(self.first[kind])[len(self.first[kind]) // 20] - bare[0]
            row = {"case": kind, "analysis": self.analysis, "tokens": self.tokens, "text": self.text}
            row |= {"n": len(self.first[kind]), "first_ms": round(first, 4), "first_p5_ms": round(least, 4)}
            row |= {"settle_ms": round(settle, 4), "bare_ms": round(sum(bare), 4)}
            within = None if self.analysis else first <= BUDGETS_MS[kind]
            rows.append({**row, "budget_ms": None if self.analysis else BUDGETS_MS[kind], "within": within})
        return rows


class Measured:
    """Asks the fake engine, bare and wrapped, one request at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._bare = FakeEngine(length_of=lambda _: 1)
        self._wrapped = ForebayEngine(self._bare, runtime, fake_names(), owns=False)
        self._runtime = runtime
        self._params = SamplingParams(temperature=0.0, max_tokens=64, output_kind=RequestOutputKind.DELTA)
        self._count = 0

    async def turn(self, case: Case, number: int, *, counted: bool) -> None:
        """Ask the bare engine, then for something new, then for that again."""
        prompt = case.prompt(number)
        for kind in KINDS:
            first, after = await self._ask(self._bare if kind == "bare" else self._wrapped, prompt)
            if counted:
                case.first[kind].append(first)
                case.after[kind].append(after)

    async def _ask(self, engine: Any, prompt: Mapping[str, Any]) -> tuple[float, float]:
        self._count += 1
        began, first = time.thread_time(), 0.0
        async for _ in engine.generate(prompt, self._params, f"request-{self._count}"):
            first = first or time.thread_time()
        while self._runtime.pipeline._settling:  # noqa: ASYNC110, SLF001 # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)  # an event would be counted, too
        return first - began, time.thread_time() - first


async def measure(requests: int) -> list[dict[str, Any]]:
    """Return the rows."""
    cases = [Case(analysis=False, tokens=tokens) for tokens in SIZES]
    cases += [Case(analysis=True, tokens=tokens, text=text) for text in (False, True) for tokens in SIZES]
    async with started(SETTINGS) as shipped, started({**SETTINGS, **NO_ANALYSIS}) as without:
        asked = {True: Measured(shipped), False: Measured(without)}
        for number in range(WARM):
            for measured in asked.values():
                await measured.turn(cases[number % len(cases)], number, counted=False)
        gc.collect()
        gc.freeze()  # else the collector reads all that was imported, in the midst of some request
        for number in range(WARM, WARM + requests):
            for case in cases:
                await asked[case.analysis].turn(case, number, counted=True)
    return [row for case in cases for row in case.rows()]


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400, help="of each case")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = asyncio.run(measure(arguments.requests))
    table = Table(title="CPU of the wrapper, beyond the engine", box=None, padding=(0, 2, 0, 0))
    shown = (
        "case",
        "analysis",
        "tokens",
        "text",
        "n",
        "first_ms",
        "first_p5_ms",
        "settle_ms",
        "bare_ms",
        "budget_ms",
        "within",
    )
    for name in shown:
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in shown))
    Console().print(table)
    if arguments.json is not None:
        write_json(arguments.json, as_json("benchmarks/vllm_overhead.py", rows))


if __name__ == "__main__":
    main()
